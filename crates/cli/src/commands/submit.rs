//! `foldry submit INPUT...`: jobs for a server, as `foldry fold` would fold them here.

use super::fold::MaxMsa;
use super::status::Failed;
use crate::client::{self, Client, Server, Wishes};
use crate::failure::bad_input;
use crate::fold_run::read_given;
use crate::intake;
use msa::Limits;
use serde_json::Value;
use std::path::PathBuf;
use ureq::http::Method;

/// Send jobs to a folding server; prints their ids.
///
/// A job's content is its idempotency key: the same command makes no second job, also after a failure in the middle.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)]
pub struct Args {
    /// FASTA (many records), A3M or Stockholm files, also .gz and .zst, folders of them, or `-` for standard input;
    /// job files of AlphaFold Server, AlphaFold 3, Boltz and ColabFold (.json, .yaml, .csv), or bodies of `POST /v1/jobs`.
    #[arg(required = true)]
    input: Vec<PathBuf>,
    #[command(flatten)]
    server: Server,
    /// Wait until all jobs ended, and tell how far they are.
    #[arg(long)]
    wait: bool,
    /// Wait, then write every result to a folder of its own in this one.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Model of the server; by default what a job file says, or the server's first.
    #[arg(long)]
    model: Option<String>,
    /// Recycles after the first pass; by default what a job file says, or what the model has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1000))]
    recycles: Option<u64>,
    /// Seed of the rows drawn and masked; by default what a job file says, or 0.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Predictions of each target, with consecutive seeds; by default what a job file says, or 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    num_seeds: Option<u64>,
    /// Alignment rows at most: clustered and extra ones, as in 512:1024.
    #[arg(long, value_name = "C:E")]
    max_msa: Option<MaxMsa>,
    /// Structures to use as templates, PDB or mmCIF, also .gz and .zst; `:CHAIN` picks a chain.
    #[arg(long, value_name = "FILE[:CHAIN]", num_args = 1..)]
    templates: Vec<String>,
    /// Higher goes first, -100 to 100.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(-100..=100))]
    priority: Option<i32>,
    /// Make new jobs, also where the same were sent before.
    #[arg(long)]
    again: bool,
    /// Replace other results in the folder of -o.
    #[arg(long, requires = "output")]
    overwrite: bool,
    /// Print the jobs as JSON, one a line, instead of their ids.
    #[arg(long)]
    json: bool,
}

/// Sends every target; one that is refused does not stop the others.
pub fn run(args: Args) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let intake = intake::load(&args.input, &Limits::default())?;
    let wishes = Wishes {
        model: args.model.clone(),
        recycles: args.recycles,
        seed: args.seed,
        num_seeds: args.num_seeds,
        max_msa: args.max_msa.map(MaxMsa::rows),
        priority: args.priority,
        templates: read_given(&args.templates)?,
    };
    let again = args.again.then(nonce);
    let (mut sent, mut failed) = (Vec::new(), Failed::none());
    let count = intake.targets.len() + intake.refused;
    for target in &intake.targets {
        for note in &target.notes {
            eprintln!("NOTE  {}: {note}", target.name);
        }
        let answer = client::body(target, intake.asked(target), &wishes)
            .and_then(|body| submit(&client, &target.name, &body, again.as_deref()));
        match answer {
            Ok(job) => {
                let id = job["id"].as_str().unwrap_or_default().to_string();
                match args.json {
                    true => println!("{job}"),
                    false => println!("{id}"),
                }
                sent.push((target.name.as_str(), id));
            }
            Err(error) => failed.push(&target.name, error, count),
        }
    }
    if args.wait || args.output.is_some() {
        for (name, id) in &sent {
            if let Err(error) = finish(&client, name, id, &args) {
                failed.push(name, error, count);
            }
        }
    }
    match intake.refused {
        0 => failed.verdict(count),
        n => verdict(failed, count, n),
    }
}

fn submit(client: &Client, name: &str, body: &Value, again: Option<&str>) -> anyhow::Result<Value> {
    let bytes = serde_json::to_vec(body)?;
    let key = client::key(&bytes, again);
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    let answer = client.ask(&Method::POST, "/v1/jobs", &headers, Some(&bytes)).map_err(|e| e.error())?;
    let replayed = answer.headers().contains_key("idempotency-replayed");
    let job = client.json_of(answer).map_err(|e| e.error())?;
    let state = job["state"].as_str().unwrap_or("unknown");
    let Some(id) = job["id"].as_str() else {
        return Err(anyhow::anyhow!("{}: expected a job with an id, found none", client.base()));
    };
    eprintln!("INFO submit.job job={} id={id} state={state}", name);
    if replayed {
        eprintln!("NOTE  {name}: sent before, this is the same job; --again makes a new one");
    }
    Ok(job)
}

/// Follows a job to its end and fetches its files, if wanted.
fn finish(client: &Client, name: &str, id: &str, args: &Args) -> anyhow::Result<()> {
    super::watch::to_success(client, id, name, false)?;
    if let Some(folder) = &args.output {
        let place = client::files(client, id, folder, args.overwrite)?;
        eprintln!("INFO submit.done job={name} folder={}", place.display());
    }
    Ok(())
}

/// The end of a run with inputs that could not be read; bad input only if all that went wrong was.
fn verdict(failed: Failed, count: usize, refused: usize) -> anyhow::Result<()> {
    let unread = format!("{refused} of the inputs could not be read, see above");
    match failed.verdict(count) {
        Ok(()) => Err(bad_input(unread)),
        Err(error) if crate::failure::code(&error) == 2 => Err(bad_input(format!("{error}; {unread}"))),
        Err(error) => Err(anyhow::anyhow!("{error}; {unread}")),
    }
}

/// Unlike those of other runs.
fn nonce() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), now.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::fake::{Answer, Fake};

    #[test]
    fn a_repeated_job_has_the_same_key_and_another_has_not() {
        let answers = || Answer::json(r#"{"id": "0a", "state": "queued"}"#);
        let fake = Fake::new(vec![answers(), answers().with("idempotency-replayed: true"), answers()]);
        let body = serde_json::json!({"name": "t", "sequence": "MK"});
        for again in [None, None, Some("1")] {
            assert_eq!(submit(&fake.client(), "t", &body, again).unwrap()["id"], "0a");
        }
        let key = |i: usize| {
            let request = fake.requests()[i].clone();
            request.lines().find(|l| l.starts_with("idempotency-key: ")).unwrap().to_string()
        };
        assert_eq!(key(0), key(1));
        assert_ne!(key(0), key(2));
        assert!(fake.requests()[0].ends_with(r#"{"name":"t","sequence":"MK"}"#));
    }
}
