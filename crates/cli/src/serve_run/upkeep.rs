//! What a server does now and then: leases that ran out, old results, blobs that nobody knows.

use jobs::{Blobs, JobStore, Reap};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at leases: a lost worker is noticed within its lease and this.
const REAP: Duration = Duration::from_millis(500);
/// Between two sweeps.
const SWEEP: Duration = Duration::from_secs(3600);
/// Blobs younger than that may be of a job that is being accepted.
const AGE: Duration = Duration::from_secs(3600);

/// Ends leases that ran out and drops old results, for ever.
pub async fn reap(store: Arc<dyn JobStore>) {
    let mut ailing = false;
    loop {
        match store.reap(Reap::Expired).await {
            Ok(reaped) if reaped.is_empty() => tokio::time::sleep(REAP).await,
            Ok(reaped) => tracing::info!(?reaped, "jobs.reap"),
            Err(error) => {
                // Said once: it is tried twice a second.
                if !std::mem::replace(&mut ailing, true) {
                    tracing::warn!(%error, "jobs.reap");
                }
                tokio::time::sleep(REAP * 4).await;
                continue;
            }
        }
        ailing = false;
    }
}

/// Removes blobs that no job refers to, for ever.
pub async fn sweep(store: Arc<dyn JobStore>, blobs: Blobs) {
    loop {
        match blobs.sweep(store.as_ref(), AGE).await {
            Ok(swept) => tracing::info!(removed = swept.removed, kept = swept.kept, "jobs.sweep"),
            Err(error) => tracing::warn!(%error, "jobs.sweep"),
        }
        tokio::time::sleep(SWEEP).await;
    }
}
