//! What every backend does.

use crate::{
    Beat, Claim, Delivery, Digest, Event, Job, JobId, Lease, Outcome, Quotas, Reap, Reaped, Requeue, Result,
    State, Submission, Submitted, Timestamp,
};
use async_trait::async_trait;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::sync::broadcast;
use uuid::Uuid;

/// Which jobs to list; newest first.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Of one tenant.
    pub tenant: Option<String>,
    /// In one state.
    pub state: Option<State>,
    /// Accepted before the job with this `seq`, the last of the page before.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Where [`JobStore::position`] stops counting.
pub const FAR: u64 = 10_000;

/// The queue in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Jobs in each state; none is missing.
    pub jobs: BTreeMap<State, u64>,
    /// When the oldest queued job was accepted.
    pub oldest_queued: Option<Timestamp>,
}

/// A durable queue. Each call is one transaction: when it returns, what it says has been written to disk; when it
/// fails or never returns, all of it happened or nothing did. A caller that does not know asks again:
/// `submit` by key, the others by reading the job.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Accepts jobs, all or none.
    /// # Errors  `KeyReused`, `Quota`, `WeightQuota`.
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>>;

    /// Gives one waiting job to a worker: of those that are due and whose tenant may run one more, the one with the
    /// highest priority, then the oldest.
    async fn claim(&self, worker: &str) -> Result<Option<Claim>>;

    /// Renews a lease and tells whether to go on.
    /// # Errors  `LeaseLost`.
    async fn heartbeat(&self, lease: Lease) -> Result<Beat>;

    /// Adds an event and returns its number.
    /// # Errors  `LeaseLost`.
    /// # Panics  if `kind` is [`Event::STATE`], which is the store's own.
    async fn append_event(&self, lease: Lease, kind: &str, data: Value) -> Result<i64>;

    /// Ends a job: state, event, result and webhook call in one transaction.
    /// # Errors  `LeaseLost`.
    async fn finish(&self, lease: Lease, outcome: Outcome) -> Result<Job>;

    /// Stops a job: one that waits at once, a running one through its worker. One that ended stays as it is.
    /// # Errors  `Unknown`.
    async fn cancel(&self, job: JobId) -> Result<Job>;

    /// Gives a running job back. One that is being cancelled ends cancelled; one that failed too often ends failed.
    /// # Errors  `LeaseLost`.
    async fn requeue(&self, lease: Lease, why: Requeue) -> Result<Job>;

    /// Ends leases, and drops what is older than the policy keeps. Does a part of a large heap at a time: call it
    /// again until it has done nothing.
    async fn reap(&self, which: Reap) -> Result<Reaped>;

    /// One job.
    /// # Errors  `Unknown`.
    async fn get(&self, job: JobId) -> Result<Job>;

    /// A page of jobs.
    async fn list(&self, query: &Query) -> Result<Vec<Job>>;

    /// Events with numbers above `after`, in order, at most `limit`.
    /// # Errors  `Unknown`.
    async fn events(&self, job: JobId, after: i64, limit: u32) -> Result<Vec<Event>>;

    /// How many waiting jobs are ahead of a queued one, over all tenants; counts no further than [`FAR`]. `None` if it
    /// does not wait in the queue.
    /// # Errors  `Unknown`.
    async fn position(&self, job: JobId) -> Result<Option<u64>>;

    /// Takes webhook calls that are due, at most `limit`. Each comes again, later and later, until it is
    /// [`delivered`](Self::delivered) or its tries are used up.
    async fn deliveries(&self, limit: u32) -> Result<Vec<Delivery>>;

    /// A webhook call was made, or need not be made any more.
    async fn delivered(&self, delivery: Uuid) -> Result<()>;

    /// Gives a tenant quotas of its own.
    async fn set_quotas(&self, tenant: &str, quotas: Quotas) -> Result<()>;

    /// Of these blobs, those that no job refers to.
    async fn unreferenced(&self, blobs: Vec<Digest>) -> Result<Vec<Digest>>;

    /// The queue in numbers.
    async fn stats(&self) -> Result<Stats>;

    /// Writes and commits: whether the store can accept jobs now.
    async fn ping(&self) -> Result<()>;

    /// Jobs that changed, as they are committed. Only a hint: a receiver may miss some, so it also looks now and then.
    fn hints(&self) -> broadcast::Receiver<JobId>;
}
