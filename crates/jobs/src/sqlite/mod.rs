//! The store of one server: a SQLite file.
//!
//! One task owns the only connection that writes (`writer.rs`); it runs the operations of [`crate::sql`]. The write-ahead log lets readers go on meanwhile. Other processes talk to the server, never to the file.

mod db;
mod open;
mod readers;
mod schema;
mod writer;

use crate::{
    Beat, Claim, Clock, Delivery, Digest, Error, Event, Job, JobId, JobStore, Lease, Outcome, Policy, Probe,
    Query, Quotas, Reap, Reaped, Requeue, Result, Stats, Submission, Submitted, SystemClock, sql,
};
use async_trait::async_trait;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, broadcast};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// How jobs are treated.
    pub policy: Policy,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// How long a write waits for another program's lock on the file.
    pub busy: Duration,
    /// For tests that crash.
    pub probe: Option<Arc<dyn Probe>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            clock: Arc::new(SystemClock::default()),
            busy: Duration::from_secs(5),
            probe: None,
        }
    }
}

/// A [`JobStore`] in a file.
pub struct SqliteStore {
    queue: writer::Queue,
    readers: readers::Readers,
    hints: broadcast::Sender<JobId>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the file, or makes it. A server then calls [`JobStore::reap`] with [`Reap::Boot`].
    /// # Errors  `InUse` if a store has it open; `Damaged` if it is not an undamaged job database.
    pub async fn open(path: &Path, options: Options) -> Result<Self> {
        open::open(path, options).await
    }

    /// Finishes what is waiting and closes the file. A store that is dropped closes it a little later.
    pub async fn close(&self) {
        self.readers.0.close().await;
        self.queue.stop().await;
        if let Some(task) = self.task.lock().await.take() {
            // A writer that panicked has said so on stderr; the file is closed either way.
            let _ = task.await;
        }
    }
}

/// SQLite's own words for what [`Error`] has a name for.
fn named(error: Error, path: &Path) -> Error {
    let Error::Database { what, source } = &error else { return error };
    // The extended code's low byte is the kind of error.
    let code = source.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => Error::Busy(path.to_owned()),
        Some(11 | 26) => Error::damaged(path, "an undamaged database", format!("{what}: {source}")),
        Some(13) => Error::DiskFull(path.to_owned()),
        _ => error,
    }
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>> {
        self.queue.run(sql::Submit(submissions)).await
    }

    async fn claim(&self, worker: &str) -> Result<Option<Claim>> {
        self.queue.run(sql::ClaimOne { worker: worker.to_owned() }).await
    }

    async fn heartbeat(&self, lease: Lease) -> Result<Beat> {
        self.queue.run(sql::Heartbeat(lease)).await
    }

    async fn append_event(&self, lease: Lease, kind: &str, data: Value) -> Result<i64> {
        assert_ne!(kind, Event::STATE, "events of this kind are the store's own");
        self.queue.run(sql::Append { lease, kind: kind.to_owned(), data }).await
    }

    async fn finish(&self, lease: Lease, outcome: Outcome) -> Result<Job> {
        self.queue.run(sql::Finish { lease, outcome }).await
    }

    async fn cancel(&self, job: JobId) -> Result<Job> {
        self.queue.run(sql::Cancel(job)).await
    }

    async fn requeue(&self, lease: Lease, why: Requeue) -> Result<Job> {
        self.queue.run(sql::GiveBack { lease, why }).await
    }

    async fn reap(&self, which: Reap) -> Result<Reaped> {
        self.queue.run(sql::Reaper(which)).await
    }

    async fn get(&self, job: JobId) -> Result<Job> {
        self.readers.get(job).await
    }

    async fn list(&self, query: &Query) -> Result<Vec<Job>> {
        self.readers.list(query).await
    }

    async fn events(&self, job: JobId, after: i64, limit: u32) -> Result<Vec<Event>> {
        self.readers.events(job, after, limit).await
    }

    async fn position(&self, job: JobId) -> Result<Option<u64>> {
        self.readers.position(job).await
    }

    async fn deliveries(&self, limit: u32) -> Result<Vec<Delivery>> {
        self.queue.run(sql::Deliveries { limit }).await
    }

    async fn delivered(&self, delivery: Uuid) -> Result<()> {
        self.queue.run(sql::Delivered(delivery)).await
    }

    async fn set_quotas(&self, tenant: &str, quotas: Quotas) -> Result<()> {
        self.queue.run(sql::SetQuotas { tenant: tenant.to_owned(), quotas }).await
    }

    async fn unreferenced(&self, blobs: Vec<Digest>) -> Result<Vec<Digest>> {
        self.readers.unreferenced(blobs).await
    }

    async fn stats(&self) -> Result<Stats> {
        self.readers.stats().await
    }

    async fn ping(&self) -> Result<()> {
        self.queue.run(sql::Ping).await
    }

    fn hints(&self) -> broadcast::Receiver<JobId> {
        self.hints.subscribe()
    }
}
