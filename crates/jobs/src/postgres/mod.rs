//! The store of several servers: a PostgreSQL database.
//!
//! Each call is a transaction of its own on a connection of the pool, at READ COMMITTED: rows that are decided on are
//! locked (`FOR UPDATE`, with `SKIP LOCKED` where another will do), and per tenant one transaction at a time accepts or
//! starts jobs, so quotas and keys hold. Time is the database's, so servers need not agree on it.
//! LISTEN and NOTIFY carry hints, no more: a server that misses one looks by itself a little later.

mod db;
mod fault;
mod hints;
mod open;
mod run;
mod schema;
mod tls;

use crate::{
    Beat, Claim, Clock, Delivery, Digest, Event, Job, JobId, JobStore, Lease, Outcome, Policy, Probe, Query,
    Quotas, Reap, Reaped, Requeue, Result, Stats, Submission, Submitted, sql,
};
use async_trait::async_trait;
use run::Runner;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use uuid::Uuid;

/// How a store is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// How jobs are treated.
    pub policy: Policy,
    /// This server among those that share the database; each has a name of its own and keeps it over restarts.
    /// [`Reap::Boot`] ends the leases of workers of this name.
    pub server: String,
    /// The schema that holds the tables; made if it is not there.
    pub schema: String,
    /// Connections at most, one of which waits for hints.
    pub connections: u32,
    /// The longest that a call waits: for a connection, for a lock, for the answer.
    pub patience: Duration,
    /// Where time comes from; `None` is the database. For tests.
    pub clock: Option<Arc<dyn Clock>>,
    /// For tests that crash.
    pub probe: Option<Arc<dyn Probe>>,
}

impl PostgresOptions {
    /// The usual ones, for a server of this name.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            policy: Policy::default(),
            server: server.into(),
            schema: "foldry".into(),
            connections: 12,
            patience: Duration::from_secs(10),
            clock: None,
            probe: None,
        }
    }
}

/// A [`JobStore`] in a PostgreSQL database.
///
/// Beside what the trait says, each call may answer `Unavailable` (the database could not be reached, nothing
/// happened), and each that writes `Uncertain` (the connection was lost at the commit).
pub struct PostgresStore {
    runner: Arc<Runner>,
    hints: hints::Hints,
}

impl PostgresStore {
    /// Connects to `postgres://user:password@host:port/database` and makes or updates the tables. A server then calls
    /// [`JobStore::reap`] with [`Reap::Boot`].
    /// The URL's `sslmode` (`prefer` if it has none) and `sslrootcert` decide on TLS.
    /// # Errors  `Unavailable`; `Untrusted`; `Damaged` if the schema is not a job database of this or an older version, or
    /// the URL names a root certificate that is not there or that its `sslmode` would not look at.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self> {
        open::open(url, options).await
    }

    /// Ends what is waiting and closes the connections.
    pub async fn close(&self) {
        self.hints.stop().await;
        self.runner.pool.close().await;
    }

    async fn run<O: sql::Operation>(&self, operation: O) -> Result<O::Output> {
        self.runner.run(operation, self.hints.sender()).await
    }
}

/// Runs what only reads, on a connection of the pool.
macro_rules! read {
    ($store:ident, $what:literal, $db:ident => $work:expr) => {{
        let mut $db = $store.runner.connection($what).await?;
        let done = tokio::time::timeout($store.runner.patience, $work).await;
        $store.runner.ended($what, done, $db)
    }};
}

#[async_trait]
impl JobStore for PostgresStore {
    async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Submitted>> {
        self.run(sql::Submit(submissions)).await
    }

    async fn claim(&self, worker: &str) -> Result<Option<Claim>> {
        self.run(sql::ClaimOne { worker: worker.to_owned() }).await
    }

    async fn heartbeat(&self, lease: Lease) -> Result<Beat> {
        self.run(sql::Heartbeat(lease)).await
    }

    async fn append_event(&self, lease: Lease, kind: &str, data: Value) -> Result<i64> {
        assert_ne!(kind, Event::STATE, "events of this kind are the store's own");
        self.run(sql::Append { lease, kind: kind.to_owned(), data }).await
    }

    async fn finish(&self, lease: Lease, outcome: Outcome) -> Result<Job> {
        self.run(sql::Finish { lease, outcome }).await
    }

    async fn cancel(&self, job: JobId) -> Result<Job> {
        self.run(sql::Cancel(job)).await
    }

    async fn requeue(&self, lease: Lease, why: Requeue) -> Result<Job> {
        self.run(sql::GiveBack { lease, why }).await
    }

    async fn reap(&self, which: Reap) -> Result<Reaped> {
        self.run(sql::Reaper(which)).await
    }

    async fn get(&self, job: JobId) -> Result<Job> {
        read!(self, "get", db => sql::get(&mut *db, job))
    }

    async fn list(&self, query: &Query) -> Result<Vec<Job>> {
        read!(self, "list", db => sql::list(&mut *db, query))
    }

    async fn events(&self, job: JobId, after: i64, limit: u32) -> Result<Vec<Event>> {
        read!(self, "events", db => sql::events(&mut *db, job, after, limit))
    }

    async fn position(&self, job: JobId) -> Result<Option<u64>> {
        read!(self, "position", db => sql::position(&mut *db, job))
    }

    async fn deliveries(&self, limit: u32) -> Result<Vec<Delivery>> {
        self.run(sql::Deliveries { limit }).await
    }

    async fn delivered(&self, delivery: Uuid) -> Result<()> {
        self.run(sql::Delivered(delivery)).await
    }

    async fn set_quotas(&self, tenant: &str, quotas: Quotas) -> Result<()> {
        self.run(sql::SetQuotas { tenant: tenant.to_owned(), quotas }).await
    }

    async fn unreferenced(&self, blobs: Vec<Digest>) -> Result<Vec<Digest>> {
        read!(self, "blobs", db => sql::unreferenced(&mut *db, &blobs))
    }

    async fn stats(&self) -> Result<Stats> {
        read!(self, "stats", db => sql::stats(&mut *db))
    }

    async fn ping(&self) -> Result<()> {
        self.run(sql::Ping).await
    }

    fn hints(&self) -> broadcast::Receiver<JobId> {
        self.hints.subscribe()
    }
}
