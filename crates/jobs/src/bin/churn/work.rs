//! A worker, whose database may be away at any moment.

use crate::{Failure, say};
use jobs::{Claim, Error, JobStore, Lease, Outcome, Reason, Requeue, State};
use serde_json::json;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(20);

/// The call may be made again: nothing is wrong with it.
fn passes(error: &Error) -> bool {
    matches!(
        error,
        Error::Unavailable { .. }
            | Error::Uncertain { .. }
            | Error::Busy(_)
            | Error::Contended(_)
            | Error::DiskFull(_)
    )
}

/// Makes a call that may be made twice until it is answered.
pub async fn again<T>(call: impl AsyncFn() -> jobs::Result<T>) -> jobs::Result<T> {
    loop {
        match call().await {
            Err(error) if passes(&error) => tokio::time::sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

pub async fn work(store: &dyn JobStore, name: &str, rest: Duration) -> Result<(), Failure> {
    for turn in 0u64.. {
        match store.claim(name).await {
            Ok(Some(claim)) => job(store, claim, turn, rest).await?,
            Ok(None) => tokio::time::sleep(Duration::from_millis(2)).await,
            // Perhaps a job was claimed; its lease will run out.
            Err(error) if passes(&error) => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn job(store: &dyn JobStore, claim: Claim, turn: u64, rest: Duration) -> Result<(), Failure> {
    let lease = claim.lease;
    say(format_args!("claimed {} {}", lease.job, lease.fence))?;
    let told = again(async || {
        store.heartbeat(lease).await?;
        store.append_event(lease, "stage", json!({ "turn": turn })).await
    });
    match told.await {
        Err(Error::LeaseLost { .. }) => return say(format_args!("late {} {}", lease.job, lease.fence)),
        told => told?,
    };
    tokio::time::sleep(rest).await;
    end(store, lease, turn).await
}

async fn end(store: &dyn JobStore, lease: Lease, turn: u64) -> Result<(), Failure> {
    let mut unsure = false;
    loop {
        let ended = match turn % 7 {
            3 => store.requeue(lease, Requeue::Drain).await,
            5 => store.finish(lease, Outcome::Failed(Reason::new("bad_input", "expected more"))).await,
            _ => store.finish(lease, Outcome::Succeeded { result: json!(turn), blobs: vec![] }).await,
        };
        let job = match ended {
            Ok(job) => job,
            Err(Error::LeaseLost { .. }) if unsure => {
                let job = again(async || store.get(lease.job).await).await?;
                // The first call did it, unless somebody else has had the job since.
                if job.fence != lease.fence || !job.state.is_terminal() {
                    return Ok(());
                }
                job
            }
            Err(Error::LeaseLost { .. }) => return say(format_args!("late {} {}", lease.job, lease.fence)),
            Err(error) if passes(&error) => {
                unsure |= matches!(error, Error::Uncertain { .. });
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if job.state != State::Queued {
            say(format_args!("ended {} {} {}", job.id, lease.fence, job.state))?;
        }
        return Ok(());
    }
}
