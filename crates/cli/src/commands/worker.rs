//! `foldry worker`: folds for servers that share a PostgreSQL queue.

use crate::serve_run::{Given, Settings, work};
use std::path::PathBuf;

/// Fold jobs of a queue that several machines share: `--store postgres://… --blobs s3://…` (docs/service.md).
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    given: Given,
    /// File of settings, TOML, as of `foldry serve`.
    #[arg(long, env = "FOLDRY_SETTINGS", value_name = "FILE")]
    settings: Option<PathBuf>,
}

/// Works until it is told to stop.
pub fn run(args: Args) -> anyhow::Result<()> {
    let settings = Settings::new(args.given.with_file(args.settings.as_deref())?)?;
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(work(settings))
}
