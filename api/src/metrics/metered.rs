//! A store whose calls are counted.

use super::Metrics;
use async_trait::async_trait;
use jobs::{
    Beat, Claim, Delivery, Digest, Error, Event, Job, JobId, JobStore, Lease, Outcome, Query, Quotas, Reap,
    Reaped, Requeue, Result, Stats, Submission, Submitted,
};
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::broadcast;
use uuid::Uuid;
use work::Product;

/// Passes every call on, and counts: time to the commit, refused fences, leases that ran out, times of runs.
pub struct Metered {
    store: Arc<dyn JobStore>,
    metrics: Arc<Metrics>,
}

impl Metered {
    /// Counts the calls of `store` in `metrics`.
    pub fn new(store: Arc<dyn JobStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }

    async fn write<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let answer = call.await;
        match &answer {
            Ok(_) => self.metrics.committed(began.elapsed()),
            Err(Error::LeaseLost { .. }) => {
                self.metrics.fence_rejected.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Err(_) => {}
        }
        answer
    }
}

#[async_trait]
impl JobStore for Metered {
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>> {
        self.write(self.store.submit(submissions)).await
    }

    async fn claim(&self, worker: &str) -> Result<Option<Claim>> {
        self.write(self.store.claim(worker)).await
    }

    async fn heartbeat(&self, lease: Lease) -> Result<Beat> {
        self.write(self.store.heartbeat(lease)).await
    }

    async fn append_event(&self, lease: Lease, kind: &str, data: Value) -> Result<i64> {
        self.write(self.store.append_event(lease, kind, data)).await
    }

    async fn finish(&self, lease: Lease, outcome: Outcome) -> Result<Job> {
        let product = match &outcome {
            Outcome::Succeeded { result, .. } => serde_json::from_value::<Product>(result.clone()).ok(),
            Outcome::Failed(_) | Outcome::Cancelled => None,
        };
        let job = self.write(self.store.finish(lease, outcome)).await?;
        // A product that was dropped for a cancellation counts as none.
        if let Some(product) = product.filter(|_| job.state == jobs::State::Succeeded) {
            self.metrics.ran(&product.model, product.residues, product.seconds);
        }
        Ok(job)
    }

    async fn cancel(&self, job: JobId) -> Result<Job> {
        self.write(self.store.cancel(job)).await
    }

    async fn requeue(&self, lease: Lease, why: Requeue) -> Result<Job> {
        self.write(self.store.requeue(lease, why)).await
    }

    async fn reap(&self, which: Reap) -> Result<Reaped> {
        let reaped = self.write(self.store.reap(which)).await?;
        if which == Reap::Expired {
            let lost = reaped.requeued + reaped.failed + reaped.cancelled;
            self.metrics.lease_lost.fetch_add(lost.into(), std::sync::atomic::Ordering::Relaxed);
        }
        Ok(reaped)
    }

    async fn get(&self, job: JobId) -> Result<Job> {
        self.store.get(job).await
    }

    async fn list(&self, query: &Query) -> Result<Vec<Job>> {
        self.store.list(query).await
    }

    async fn events(&self, job: JobId, after: i64, limit: u32) -> Result<Vec<Event>> {
        self.store.events(job, after, limit).await
    }

    async fn position(&self, job: JobId) -> Result<Option<u64>> {
        self.store.position(job).await
    }

    async fn deliveries(&self, limit: u32) -> Result<Vec<Delivery>> {
        self.write(self.store.deliveries(limit)).await
    }

    async fn delivered(&self, delivery: Uuid) -> Result<()> {
        self.write(self.store.delivered(delivery)).await
    }

    async fn set_quotas(&self, tenant: &str, quotas: Quotas) -> Result<()> {
        self.write(self.store.set_quotas(tenant, quotas)).await
    }

    async fn unreferenced(&self, blobs: Vec<Digest>) -> Result<Vec<Digest>> {
        self.store.unreferenced(blobs).await
    }

    async fn stats(&self) -> Result<Stats> {
        self.store.stats().await
    }

    async fn ping(&self) -> Result<()> {
        self.write(self.store.ping()).await
    }

    fn hints(&self) -> broadcast::Receiver<JobId> {
        self.store.hints()
    }
}
