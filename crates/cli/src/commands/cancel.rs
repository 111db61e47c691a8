//! `foldry cancel ID...`: jobs of a server that are not wanted any more.

use super::status::{Failed, print};
use crate::client::{Client, Server, path};
use ureq::http::Method;

/// Cancel jobs of a folding server; as often as one likes, those that ended stay as they are.
#[derive(clap::Args)]
pub struct Args {
    /// Ids of jobs.
    #[arg(required = true)]
    id: Vec<String>,
    #[command(flatten)]
    server: Server,
    /// Print the jobs as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Cancels each; one that cannot be does not stop the others.
pub fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let mut failed = Failed::none();
    for id in &args.id {
        let job = path(id, "")
            .and_then(|path| client.json(&Method::DELETE, &path, &[], None).map_err(|e| e.error()));
        match job {
            Ok(job) => {
                if job["state"] == "succeeded" {
                    eprintln!("NOTE  {id}: it had succeeded before");
                }
                print(&job, args.json);
            }
            Err(error) => failed.push(id, error, args.id.len()),
        }
    }
    failed.verdict(args.id.len())
}
