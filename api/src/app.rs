//! What the routes work with.

use crate::budget::Budget;
use crate::code::Code;
use crate::disk::Disk;
use crate::follow::Follow;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::problem::{Problem, Result};
use crate::rate::Rates;
use jobs::{Blobs, JobStore};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;
use tokio::sync::{Mutex, Semaphore, watch};
use work::Engine;

/// A server's parts, made by whoever starts it.
pub struct App {
    /// The queue. Give [`Metered`](crate::Metered) to it and to the workers, so that both are counted.
    pub store: Arc<dyn JobStore>,
    /// Inputs and results.
    pub blobs: Blobs,
    /// What the folding children say they are; `None` until the first has said so.
    pub engine: watch::Receiver<Option<Engine>>,
    /// Who may come in; `None` lets everybody in as the tenant `local`.
    pub keys: Option<Keys>,
    /// Bounds on everything that comes from outside.
    pub limits: Limits,
    /// Counters, shared with the [`Metered`](crate::Metered) store.
    pub metrics: Arc<Metrics>,
    /// Where a span of each request goes.
    pub spans: spans::Spans,
    /// The folder with database and blobs, whose disk is watched.
    pub data: PathBuf,
}

/// [`App`] with what only the routes need.
pub(crate) struct Server {
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) blobs: Blobs,
    engine: watch::Receiver<Option<Engine>>,
    pub(crate) keys: Option<Keys>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) spans: spans::Spans,
    pub(crate) disk: Disk,
    pub(crate) follow: Follow,
    pub(crate) budget: Budget,
    pub(crate) rates: Rates,
    /// Which reading of the keys' file the store knows the quotas of.
    pub(crate) quotas_of: AtomicU64,
    /// When a commit last went through for a health check.
    pub(crate) pinged: Mutex<Option<Instant>>,
    /// Inputs that are parsed at the same time: parsing takes a processor.
    pub(crate) parsers: Semaphore,
}

impl Server {
    /// # Panics  outside of a tokio runtime.
    pub(crate) fn new(app: App) -> Arc<Self> {
        let follow = Follow::start(app.store.as_ref());
        Arc::new(Self {
            disk: Disk::new(app.data, app.limits.disk_reserve),
            budget: Budget::new(app.limits.bodies_in_memory),
            rates: Rates::default(),
            quotas_of: AtomicU64::new(0),
            pinged: Mutex::new(None),
            parsers: Semaphore::new(app.limits.parsers),
            store: app.store,
            blobs: app.blobs,
            engine: app.engine,
            keys: app.keys,
            limits: app.limits,
            metrics: app.metrics,
            spans: app.spans,
            follow,
        })
    }

    /// What folds here, as soon as it is known.
    pub(crate) fn engine(&self) -> Result<Engine> {
        let engine = self.engine.borrow().clone();
        let starting = || Problem::new(Code::EngineStarting, "the folding engine is starting").retry_after(5);
        engine.ok_or_else(starting)
    }

    /// Runs work that takes a processor or blocks, away from the tasks that answer requests.
    pub(crate) async fn parse<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _one = self.parsers.acquire().await.expect("never closed");
        tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?
    }
}
