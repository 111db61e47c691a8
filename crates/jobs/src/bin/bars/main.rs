//! Measures a store against the service's bars, and fails if one is missed.
//!
//! `jobs-bars sqlite FOLDER` or `jobs-bars postgres URL`, in a release build, on a quiet machine: 10,000 jobs queued, then
//! the start of a server, claims, lists and places, memory, and 50 submits a second beside two workers.

mod latency;
mod memory;
mod store;

use jobs::{FAR, JobId, JobStore, Outcome, Query, Reap, State, Submission};
use latency::{Bar, Latencies};
use serde_json::json;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

const JOBS: usize = 10_000;
const CALLS: usize = 1_000;
const SUBMITS_A_SECOND: u32 = 50;
const SECONDS: u32 = 20;

fn submission(n: usize) -> Submission {
    // As long as a request of a protein of 400 residues.
    let request =
        json!({ "name": format!("job-{n}"), "sequence": "MKVLAGRTEW".repeat(40), "options": { "seed": n } });
    Submission {
        weight: 400,
        priority: (n % 3) as i32,
        ..Submission::new(format!("tenant-{}", n % 20), request)
    }
}

async fn fill(store: &dyn JobStore) -> Result<Vec<JobId>, Failure> {
    let mut ids = Vec::new();
    for first in (0..JOBS).step_by(250) {
        let batch = (first..first + 250).map(submission).collect();
        ids.extend(store.submit(batch).await?.into_iter().map(|accepted| accepted.job.id));
    }
    Ok(ids)
}

async fn claims(store: &dyn JobStore) -> Result<Latencies, Failure> {
    let mut took = Latencies::default();
    for _ in 0..CALLS {
        let began = Instant::now();
        let claim = store.claim("bars").await?.ok_or("expected a job to claim, found none")?;
        took.add(began.elapsed());
        let outcome = Outcome::Succeeded { result: json!({ "plddt": 90 }), blobs: Vec::new() };
        store.finish(claim.lease, outcome).await?;
    }
    Ok(took)
}

async fn lists(store: &dyn JobStore) -> Result<Latencies, Failure> {
    let mut took = Latencies::default();
    let mut before = None;
    for n in 0..CALLS {
        let tenant = (n % 2 == 1).then(|| format!("tenant-{}", n % 20));
        let state = (n % 3 == 1).then_some(State::Queued);
        let began = Instant::now();
        let page = store.list(&Query { tenant, state, before, limit: 100 }).await?;
        took.add(began.elapsed());
        before = page.last().map(|job| job.seq);
    }
    Ok(took)
}

async fn places(store: &dyn JobStore, ids: &[JobId]) -> Result<Latencies, Failure> {
    let mut took = Latencies::default();
    for id in ids.iter().step_by(JOBS / CALLS) {
        let began = Instant::now();
        let place = store.position(*id).await?;
        took.add(began.elapsed());
        assert!(place.is_none_or(|place| place <= FAR));
    }
    Ok(took)
}

/// Submits by the clock, whether or not the ones before were answered; two workers beside them.
async fn open_loop(store: &Arc<dyn JobStore>) -> Result<Latencies, Failure> {
    let workers = tokio::spawn({
        let store = Arc::clone(store);
        async move { tokio::join!(work(&*store), work(&*store)) }
    });
    let mut tasks = tokio::task::JoinSet::new();
    let began = Instant::now();
    for n in 0..SUBMITS_A_SECOND * SECONDS {
        let due = began + Duration::from_secs(n.into()) / SUBMITS_A_SECOND;
        tokio::time::sleep_until(due.into()).await;
        let store = Arc::clone(store);
        tasks.spawn(async move {
            let asked = submission(JOBS + n as usize);
            // From when it was due: waiting for its turn counts.
            store.submit(vec![asked]).await.map(|_| due.elapsed())
        });
    }
    let mut took = Latencies::default();
    while let Some(done) = tasks.join_next().await {
        took.add(done??);
    }
    workers.abort();
    Ok(took)
}

async fn work(store: &dyn JobStore) -> jobs::Result<()> {
    loop {
        if let Some(claim) = store.claim("worker").await? {
            for pass in 0..4 {
                store.append_event(claim.lease, "pass", json!({ "pass": pass })).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let outcome = Outcome::Succeeded { result: json!({ "plddt": 90 }), blobs: Vec::new() };
            store.finish(claim.lease, outcome).await?;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect(); // the first is the program
    let place = store::Place::new(&arguments)?;
    let empty = memory::resident()?;
    let opened = place.open().await?;
    let ids = fill(&*opened.jobs()).await?;
    opened.close().await;

    let began = Instant::now();
    let opened = place.open().await?;
    let store = opened.jobs();
    while !store.reap(Reap::Boot).await?.is_empty() {}
    store.ping().await?;
    let boot = began.elapsed();

    let lists = lists(&*store).await?;
    let places = places(&*store, &ids).await?;
    let claims = claims(&*store).await?;
    let submits = open_loop(&store).await?;
    let grown = memory::resident()?.saturating_sub(empty);
    drop(store);
    opened.close().await;

    let bars = [
        Bar::time("boot with 10,000 queued", boot, 2000.0),
        Bar::time("claim p99", claims.at(0.99), 20.0),
        Bar::time("list p99", lists.at(0.99), 50.0),
        Bar::time("place in the queue p99", places.at(0.99), 50.0),
        Bar::time("50 submits/s p99", submits.at(0.99), 100.0),
        Bar::time("50 submits/s p99.9", submits.at(0.999), 500.0),
        Bar { name: "memory growth", found: grown as f64 / 1e6, bar: 100.0, unit: "MB" },
    ];
    let mut held = true;
    for bar in bars {
        println!("{bar}");
        held &= bar.holds();
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
