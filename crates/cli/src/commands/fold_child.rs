//! `foldry fold-child`: what `foldry serve` and `foldry worker` start, and nobody else.

use crate::serve_run::{Offer, fold_for_a_server};

/// Fold what comes on standard input, for a server.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    offer: Offer,
}

/// Folds until standard input ends.
pub fn run(args: Args) -> anyhow::Result<()> {
    fold_for_a_server(args.offer)
}
