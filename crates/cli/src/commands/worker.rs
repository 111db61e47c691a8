//! `foldry worker`: folds for servers that share a PostgreSQL queue.

use crate::serve_run::{Given, Settings, work};
use std::path::PathBuf;

/// Fold jobs of a queue that several machines share: `--store postgres://… --blobs s3://…` (docs/service.md).
#[derive(clap::Args)]
// Settings that only a server looks at may stand in the file, but are not offered.
#[command(
    mut_arg("listen", |arg| arg.hide(true)),
    mut_arg("keys", |arg| arg.hide(true)),
    mut_arg("open", |arg| arg.hide(true)),
    mut_arg("max_residues", |arg| arg.hide(true)),
    mut_arg("max_rows", |arg| arg.hide(true)),
    mut_arg("max_body", |arg| arg.hide(true)),
    mut_arg("requests_per_second", |arg| arg.hide(true)),
    mut_arg("disk_reserve", |arg| arg.hide(true)),
    mut_arg("origins", |arg| arg.hide(true)),
    mut_arg("private_webhooks", |arg| arg.hide(true)),
    mut_arg("esm_b_factor", |arg| arg.hide(true))
)]
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
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(work(settings))
}
