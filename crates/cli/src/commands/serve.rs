//! `foldry serve`: a folding service over HTTP.

use crate::serve_run::{Given, Settings, serve};
use std::path::PathBuf;

/// Accept folding jobs over HTTP, keep them in a durable queue, and fold them (docs/service.md).
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    given: Given,
    /// File of settings, TOML: the names of these options without the dashes in front.
    #[arg(long, env = "FOLDRY_SETTINGS", value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Check the settings, print all that were given as TOML, and end.
    #[arg(long)]
    check_config: bool,
}

/// Serves until it is told to stop.
pub fn run(args: Args) -> anyhow::Result<()> {
    let given = args.given.with_file(args.settings.as_deref())?;
    let shown = given.shown()?;
    let settings = Settings::new(given)?;
    if args.check_config {
        settings.keys.open()?;
        print!("{shown}");
        return Ok(());
    }
    // Few threads: what takes a processor is done by children, parsing on threads of its own.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(serve(settings))
}
