//! `foldry status [ID...]`: jobs of a server.

use crate::client::{Client, Server, line, path, table};
use crate::failure::{BadInput, bad_input, text};
use serde_json::Value;
use ureq::http::Method;

/// Show jobs of a folding server: those named, or the newest.
#[derive(clap::Args)]
pub struct Args {
    /// Ids of jobs; all of the newest without.
    id: Vec<String>,
    #[command(flatten)]
    server: Server,
    /// Jobs to list, without ids.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// List only jobs in this state: queued, running, retry_wait, cancelling, succeeded, failed or cancelled.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Print the jobs as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Jobs of one answer.
const PAGE: u64 = 100;

/// Prints a line for each job.
pub fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    if args.id.is_empty() {
        return list(&client, &args);
    }
    let mut failed = Failed::none();
    for id in &args.id {
        match path(id, "").and_then(|path| client.json(&Method::GET, &path, &[], None).map_err(|e| e.error()))
        {
            Ok(job) => print(&job, args.json),
            Err(error) => failed.push(id, error, args.id.len()),
        }
    }
    failed.verdict(args.id.len())
}

fn list(client: &Client, args: &Args) -> anyhow::Result<()> {
    let state = match &args.state {
        Some(state) if state.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
            format!("&state={state}")
        }
        Some(state) => return Err(bad_input(format!("--state: expected a state, found {state:?}"))),
        None => String::new(),
    };
    let (mut left, mut cursor) = (args.limit, String::new());
    if !args.json {
        eprintln!("{}", table());
    }
    loop {
        let path = format!("/v1/jobs?limit={}{state}{cursor}", left.min(PAGE));
        let page = client.json(&Method::GET, &path, &[], None).map_err(|e| e.error())?;
        let jobs = page["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
        jobs.iter().take(usize::try_from(left).unwrap_or(usize::MAX)).for_each(|job| print(job, args.json));
        left = left.saturating_sub(jobs.len() as u64);
        // A cursor is of letters that need no escape; another server's is not followed.
        let next = page["next"]
            .as_str()
            .filter(|c| c.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b)));
        match next {
            Some(next) if left > 0 && !jobs.is_empty() => cursor = format!("&cursor={next}"),
            _ => return Ok(()),
        }
    }
}

/// One job on stdout.
pub fn print(job: &Value, json: bool) {
    match json {
        true => println!("{job}"),
        false => println!("{}", line(job)),
    }
}

/// What went wrong with some of `count` jobs, each told by its name.
pub struct Failed(Vec<(String, anyhow::Error)>);

impl Failed {
    /// Nothing yet.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// One more; it is told at once where there are others beside it.
    pub fn push(&mut self, name: &str, error: anyhow::Error, count: usize) {
        if count > 1 {
            eprintln!("ERROR  {name}: {}", text(&error));
        }
        self.0.push((name.to_string(), error));
    }

    /// Nothing, the one error, or how many failed; bad input only if all were.
    pub fn verdict(mut self, count: usize) -> anyhow::Result<()> {
        let is_bad = |error: &anyhow::Error| error.chain().any(|e| e.is::<BadInput>());
        let all_bad = self.0.iter().all(|(_, error)| is_bad(error));
        let words = match self.0.len() {
            0 => return Ok(()),
            1 if count == 1 => self.0.pop().map(|(name, error)| format!("{name}: {}", text(&error))),
            failed => Some(format!("{failed} of {count} failed, see above")),
        };
        let words = words.unwrap_or_default();
        Err(if all_bad { bad_input(words) } else { anyhow::anyhow!(words) })
    }
}
