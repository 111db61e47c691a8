//! A server in small, to be killed in tests: submits, claims and ends jobs of a store, and says on stdout what was
//! acknowledged, so that whoever reads it knows what must be there afterwards.
//!
//! `jobs-churn DATABASE [OPERATION:applied|committed:COUNT]`: DATABASE is a file or a `postgres://` URL; the second form
//! ends itself, as by a crash, when the operation reaches that point for the COUNT-th time. Environment:
//! `CHURN_SCHEMA` of PostgreSQL, `CHURN_LEASE` and `CHURN_REST` (between claim and end) in milliseconds.
//!
//! Lines: `submitted KEY JOB`, `claimed JOB FENCE`, `cancelled JOB STATE`, `ended JOB FENCE STATE`, and `late JOB FENCE`
//! where an end was refused.

mod settings;
mod store;
mod work;

use jobs::{Crash, JobStore, Probe, Reap, Submission};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use work::again;

type Failure = Box<dyn std::error::Error>;

/// A whole line at once, and out before anything else happens.
fn say(line: std::fmt::Arguments<'_>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    Ok(out.flush()?)
}

async fn submit(store: &dyn JobStore) -> Result<(), Failure> {
    // Not the process's id: of a thousand lives two may have the same.
    let life = uuid::Uuid::now_v7().simple();
    for n in 0.. {
        let key = format!("{life}-{n}");
        let submission = Submission {
            key: Some(key.clone()),
            webhook: Some("hook".into()),
            ..Submission::new("tenant", json!({ "n": n }))
        };
        // Whether or not it was accepted before the connection was lost, the key makes it one job.
        let job = again(async || store.submit(vec![submission.clone()]).await).await?.remove(0).job.id;
        say(format_args!("submitted {key} {job}"))?;
        if n % 5 == 2 {
            let job = again(async || store.cancel(job).await).await?;
            say(format_args!("cancelled {} {}", job.id, job.state))?;
        }
        while again(async || store.stats().await).await?.jobs[&jobs::State::Queued] > 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// What workers lost comes back while the server lives, too.
async fn reap(store: &dyn JobStore) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        again(async || store.reap(Reap::Expired).await).await?;
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect(); // the first is the program
    let (database, crash) = match &arguments[..] {
        [database] => (database, None),
        [database, crash] => (database, Some(Arc::new(crash.parse::<Crash>()?) as Arc<dyn Probe>)),
        _ => return Err("expected DATABASE [OPERATION:applied|committed:COUNT]".into()),
    };
    let store: Arc<dyn JobStore> = store::open(database, crash).await?;
    let store = &*store;
    while !again(async || store.reap(Reap::Boot).await).await?.is_empty() {}
    let rest = settings::millis("CHURN_REST")?.unwrap_or_default();
    let (one, two) = (work::work(store, "one", rest), work::work(store, "two", rest));
    tokio::try_join!(submit(store), one, two, reap(store))?;
    Ok(())
}
