//! `foldry data`: structures and alignments into one file, and what is in it.

mod ingest;
mod progress;
mod stats;

/// Training data: make a dataset from structures and alignments, look into one.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    Ingest(Box<ingest::Args>),
    Stats(stats::Args),
}

/// Runs the subcommand.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Ingest(args) => ingest::run(*args),
        Action::Stats(args) => stats::run(args),
    }
}
