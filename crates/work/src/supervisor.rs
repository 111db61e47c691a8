//! Has jobs folded, one after another, by a child of its own.
//!
//! The child may be killed by the system, by a driver's fault, or by us: the supervisor starts another and goes on.
//! The model stays loaded in the child from job to job.

use crate::attempt::{Attempt, Rest};
use crate::launch::{Child, Launch};
use crate::{Engine, Order};
use jobs::{Blobs, Claim, JobStore, Outcome, Reason};
use spans::{Kind, Spans};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// Between two renewals of a lease: a third of it, or less.
    pub beat: Duration,
    /// Between two looks for work when no hint comes.
    pub poll: Duration,
    /// From asking a child to stop to killing it.
    pub stop: Duration,
    /// For a child to be ready.
    pub start: Duration,
    /// For one attempt at a job.
    pub job: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            beat: Duration::from_secs(4),
            poll: Duration::from_secs(1),
            stop: Duration::from_secs(5),
            start: Duration::from_secs(120),
            job: Duration::from_secs(48 * 3600),
        }
    }
}

/// Whether to go on; what a supervisor looks at while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    Work,
    /// Claim nothing more; what is running by then goes back to the queue.
    Drain(Instant),
}

/// Folds for one device.
#[derive(Clone)]
pub struct Supervisor {
    /// Where jobs come from.
    pub store: Arc<dyn JobStore>,
    /// Where their files are.
    pub blobs: Blobs,
    /// How a child is started.
    pub launch: Launch,
    /// Who it is, to the store and in logs; of its own among all that share the store.
    pub name: String,
    /// A folder of its own for files of the running job.
    pub scratch: PathBuf,
    /// How long things may take.
    pub times: Times,
    /// Where a span of each attempt goes.
    pub spans: Spans,
}

/// Waits between failed starts of a child: it doubles up to the longest.
const WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Supervisor {
    /// Works until it is told to drain and has nothing more to do. Tells `engine` what the child says of itself.
    pub async fn run(self, engine: watch::Sender<Option<Engine>>, mut wish: watch::Receiver<Wish>) {
        // Left by a server that was killed.
        let _ = tokio::fs::remove_dir_all(&self.scratch).await;
        let mut wait = WAIT;
        while *wish.borrow() == Wish::Work {
            match Child::start(&self.launch, self.times.start).await {
                Ok((child, said)) => {
                    wait = WAIT;
                    tracing::info!(worker = %self.name, device = %said.device, "work.ready");
                    engine.send_replace(Some(said.clone()));
                    self.with(child, &said, &mut wish).await;
                }
                Err(why) => {
                    tracing::error!(worker = %self.name, why, "work.start");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                        _ = wish.changed() => {}
                    }
                }
            }
        }
        tracing::info!(worker = %self.name, "work.end");
    }

    /// Works with one child as long as it lives.
    async fn with(&self, mut child: Child, engine: &Engine, wish: &mut watch::Receiver<Wish>) {
        let mut hints = self.store.hints();
        while *wish.borrow() == Wish::Work {
            match self.store.claim(&self.name).await {
                Ok(Some(claim)) => {
                    if self.attempt(claim, &mut child, engine, wish).await == Rest::Gone {
                        return;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(worker = %self.name, %error, "work.claim"),
            }
            tokio::select! {
                () = tokio::time::sleep(self.times.poll) => {}
                // Closed only if the store is, and then a pause does no harm; else the claim is tried at once.
                hint = hints.recv() => if hint.is_err() { tokio::time::sleep(self.times.poll / 4).await },
                _ = wish.changed() => {}
                said = child.heard() => {
                    // It has nothing to say now: it has died, or lost its mind.
                    let end = child.end().await;
                    tracing::error!(worker = %self.name, ?said, %end, "work.child");
                    return;
                }
            }
        }
        child.end().await;
    }

    async fn attempt(
        &self,
        claim: Claim,
        child: &mut Child,
        engine: &Engine,
        wish: &mut watch::Receiver<Wish>,
    ) -> Rest {
        let Claim { job, lease } = claim;
        let began = std::time::Instant::now();
        // All attempts at a job are one trace, which the job's id names.
        let mut span = self.spans.begin_in(job.id.number(), "job attempt", Kind::Consumer);
        span.set("foldry.job.id", job.id.to_string());
        span.set("foldry.attempt", i64::from(job.attempts));
        span.set("foldry.worker", self.name.as_str());
        let order: Order = match serde_json::from_value(job.request) {
            Ok(order) => order,
            Err(error) => {
                // Of a newer server, or damaged: no attempt of ours mends it.
                let reason =
                    Reason::new("bad_order", format!("expected an order, found something else: {error}"));
                let attempt = Attempt::new(self, lease, engine);
                attempt.end(Outcome::Failed(reason)).await;
                attempt.verdict().tell(span);
                return Rest::Ready;
            }
        };
        tracing::info!(job = %job.id, worker = %self.name, residues = order.sequence.len(), attempt = job.attempts, "work.begin");
        span.set("foldry.model", order.options.model.as_str());
        span.set("foldry.residues", i64::try_from(order.sequence.len()).unwrap_or(i64::MAX));
        let attempt = Attempt::new(self, lease, engine);
        let rest = attempt.run(&order, child, wish).await;
        attempt.verdict().tell(span);
        let secs = (began.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        tracing::info!(job = %job.id, worker = %self.name, secs, "work.end");
        rest
    }
}
