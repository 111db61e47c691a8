//! A server in small, to be killed in tests: submits, claims and ends jobs of a store, and says on stdout what was
//! acknowledged, so that whoever reads it knows what must be there afterwards.
//!
//! `jobs-churn DATABASE [OPERATION applied|committed COUNT]`: the second form ends itself, as by a crash, when the
//! operation reaches that point for the COUNT-th time.
//!
//! Lines: `submitted KEY JOB`, `claimed JOB FENCE`, `cancelled JOB STATE`, `ended JOB FENCE STATE`.

use jobs::{JobStore, Options, Outcome, Point, Probe, Reap, Reason, Requeue, SqliteStore, State, Submission};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

type Failure = Box<dyn std::error::Error>;

/// Ends the process at a point.
struct Crash {
    operation: String,
    point: Point,
    left: AtomicU32,
}

impl Probe for Crash {
    fn reached(&self, operation: &'static str, point: Point) {
        if operation == self.operation && point == self.point && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }
}

fn crash(arguments: &[String]) -> Result<Option<Arc<dyn Probe>>, Failure> {
    let [operation, point, count] = arguments else { return Ok(None) };
    let point = match point.as_str() {
        "applied" => Point::Applied,
        "committed" => Point::Committed,
        other => return Err(format!("expected applied or committed, found {other}").into()),
    };
    Ok(Some(Arc::new(Crash { operation: operation.clone(), point, left: AtomicU32::new(count.parse()?) })))
}

/// A whole line at once, and out before anything else happens.
fn say(line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

async fn submit(store: &SqliteStore) -> Result<(), Failure> {
    for n in 0.. {
        let key = format!("{}-{n}", std::process::id());
        let submission = Submission {
            key: Some(key.clone()),
            webhook: Some("hook".into()),
            ..Submission::new("tenant", json!({ "n": n }))
        };
        let accepted = store.submit(vec![submission]).await?;
        let job = accepted[0].job.id;
        say(format_args!("submitted {key} {job}"))?;
        if n % 5 == 2 {
            let job = store.cancel(job).await?;
            say(format_args!("cancelled {} {}", job.id, job.state))?;
        }
    }
    Ok(())
}

async fn work(store: &SqliteStore, name: &str) -> Result<(), Failure> {
    for turn in 0u64.. {
        let Some(claim) = store.claim(name).await? else {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            continue;
        };
        let lease = claim.lease;
        say(format_args!("claimed {} {}", lease.job, lease.fence))?;
        store.heartbeat(lease).await?;
        store.append_event(lease, "stage", json!({ "turn": turn })).await?;
        let job = match turn % 7 {
            3 => store.requeue(lease, Requeue::Drain).await?,
            5 => store.finish(lease, Outcome::Failed(Reason::new("bad_input", "expected more"))).await?,
            _ => store.finish(lease, Outcome::Succeeded { result: json!(turn), blobs: vec![] }).await?,
        };
        if job.state != State::Queued {
            say(format_args!("ended {} {} {}", job.id, lease.fence, job.state))?;
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect(); // the first is the program
    let (database, rest) = arguments.split_first().ok_or("expected the path of a database")?;
    let options = Options { probe: crash(rest)?, ..Options::default() };
    let store = SqliteStore::open(Path::new(database), options).await?;
    while !store.reap(Reap::Boot).await?.is_empty() {}
    tokio::try_join!(submit(&store), work(&store, "one"), work(&store, "two"))?;
    Ok(())
}
