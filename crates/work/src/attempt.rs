//! One attempt at one job.

use crate::files::{Scratch, Trouble, collect};
use crate::keeper::{Held, Keeper};
use crate::launch::{Child, End};
use crate::pipe::{Command, Said};
use crate::supervisor::{Supervisor, Wish};
use crate::verdict::Verdict;
use crate::{Engine, Order, Progress};
use jobs::{Lease, Outcome, Reason, Requeue};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// An attempt that fails so often in one way fails for good.
const TWICE: u32 = 2;

/// Writing an end is tried so long: it is worth hours of work.
const INSIST: Duration = Duration::from_secs(600);

/// How the child is after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Ready for the next.
    Ready,
    /// Gone.
    Gone,
}

/// Why a child is to stop. Of two reasons the first stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    Drained,
    Late,
    Lost,
}

/// How the child's part ended.
enum Ended {
    Said(Said),
    Gone(End),
    Nonsense(String),
}

pub(crate) struct Attempt<'a> {
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) lease: Lease,
    pub(crate) engine: &'a Engine,
    /// Once the store has taken it.
    verdict: OnceLock<Verdict>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(supervisor: &'a Supervisor, lease: Lease, engine: &'a Engine) -> Self {
        Self { supervisor, lease, engine, verdict: OnceLock::new() }
    }

    /// How it ended, after it did.
    pub(crate) fn verdict(self) -> Verdict {
        self.verdict.into_inner().unwrap_or(Verdict::LOST)
    }

    pub(crate) async fn run(
        &self,
        order: &Order,
        child: &mut Child,
        wish: &mut watch::Receiver<Wish>,
    ) -> Rest {
        let supervisor = self.supervisor;
        let began = Instant::now();
        let mut keeper = Keeper::new(supervisor.store.clone(), self.lease, supervisor.times.beat);
        let place = supervisor.scratch.join(format!("{}.{}", self.lease.job, self.lease.fence));
        let (_scratch, task) = match Scratch::new(place, order, &supervisor.blobs).await {
            Ok(made) => made,
            Err(trouble) => {
                self.give_up(trouble).await;
                return Rest::Ready;
            }
        };
        child.say(&Command::Fold(Box::new(task.clone()))).await;
        let (ended, stop) = self.follow(child, &mut keeper, wish, began).await;
        // The keeper goes on meanwhile: storing a large result may take longer than a lease.
        let rest = if matches!(ended, Ended::Said(_)) { Rest::Ready } else { Rest::Gone };
        match (ended, stop) {
            (_, Some(Stop::Lost)) => {}
            // A result is a result, even if it was to stop: the store decides if it comes too late.
            (Ended::Said(Said::Done(made)), _) => {
                let seconds = began.elapsed().as_secs_f64();
                match collect(&task, made, &self.engine.version, seconds, &supervisor.blobs).await {
                    Ok(product) => {
                        let blobs = product.blobs();
                        let result = serde_json::to_value(product).expect("products are plain data");
                        self.end(Outcome::Succeeded { result, blobs }).await;
                    }
                    Err(trouble) => self.give_up(trouble).await,
                }
            }
            (_, Some(Stop::Cancelled)) => self.end(Outcome::Cancelled).await,
            (_, Some(Stop::Drained)) => self.back(Requeue::Drain).await,
            (_, Some(Stop::Late)) => {
                let limit = supervisor.times.job.as_secs();
                let reason =
                    Reason::new("timed_out", format!("expected an end within {limit} s, found none"));
                self.end(Outcome::Failed(reason)).await;
            }
            (Ended::Said(Said::Failed(failure)), None) => {
                self.give_up(Trouble::new(&failure.code, failure.message, failure.again)).await;
            }
            (Ended::Gone(end), None) => self.died(end).await,
            (Ended::Nonsense(why), None) => {
                self.back(Requeue::Retry { reason: Reason::new("worker_broken", why), limit: Some(TWICE) })
                    .await;
            }
            (Ended::Said(said), None) => {
                let why = format!("expected a result or a reason from the worker, found {said:?}");
                self.back(Requeue::Retry { reason: Reason::new("worker_broken", why), limit: Some(TWICE) })
                    .await;
            }
        }
        rest
    }

    /// Listens to the child until its part ends, and stops it if need be.
    async fn follow(
        &self,
        child: &mut Child,
        keeper: &mut Keeper,
        wish: &mut watch::Receiver<Wish>,
        began: Instant,
    ) -> (Ended, Option<Stop>) {
        let times = &self.supervisor.times;
        let (mut stop, mut kill) = (None, None::<Instant>);
        loop {
            // A wish of before the claim counts, too.
            let drain = match *wish.borrow_and_update() {
                Wish::Drain(by) => Some(by),
                Wish::Work => None,
            };
            let asked = tokio::select! {
                said = child.heard() => match said {
                    Ok(Some(Said::Progress { told })) => {
                        self.tell(told).await;
                        continue;
                    }
                    Ok(Some(said)) => return (Ended::Said(said), stop),
                    Ok(None) => return (Ended::Gone(child.end().await), stop),
                    Err(why) => {
                        child.end().await;
                        return (Ended::Nonsense(why), stop);
                    }
                },
                held = keeper.changed() => match held {
                    Held::Yes => continue,
                    Held::Cancelling => Stop::Cancelled,
                    Held::Lost => Stop::Lost,
                },
                () = until(drain.filter(|_| stop.is_none())) => Stop::Drained,
                () = until(stop.is_none().then_some(began + times.job)) => Stop::Late,
                () = until(kill) => return (Ended::Gone(child.end().await), stop),
                _ = wish.changed() => continue,
            };
            if stop.is_none() || asked == Stop::Lost {
                stop = Some(asked);
            }
            if kill.is_none() {
                kill = Some(Instant::now() + times.stop);
                child.say(&Command::Stop).await;
            }
        }
    }

    /// Makes an event of what a child told. One that cannot be written is left out: it is of no use later.
    async fn tell(&self, told: Progress) {
        let mut data = serde_json::to_value(told).expect("progress is plain data");
        let Some(serde_json::Value::String(kind)) = data.as_object_mut().and_then(|data| data.remove("kind"))
        else {
            return;
        };
        if let Err(error) = self.supervisor.store.append_event(self.lease, &kind, data).await {
            tracing::warn!(job = %self.lease.job, %error, "work.event");
        }
    }

    /// The child died by itself.
    async fn died(&self, end: End) {
        let (code, limit) = match end {
            End::KilledBySystem | End::Starved => ("out_of_memory", Some(TWICE)),
            // Poison after as many deaths as the store's policy allows.
            _ => (Reason::WORKER_LOST, None),
        };
        tracing::error!(job = %self.lease.job, worker = %self.supervisor.name, %end, "work.died");
        let reason = Reason::new(code, format!("the process that folded it: {end}"));
        self.back(Requeue::Retry { reason, limit }).await;
    }

    async fn give_up(&self, trouble: Trouble) {
        let Trouble { reason, again } = trouble;
        tracing::warn!(job = %self.lease.job, code = reason.code, "work.failed");
        match again {
            // A full disk may be full for long: as many attempts as the job has.
            true if reason.code == "disk_full" => self.back(Requeue::Retry { reason, limit: None }).await,
            true => self.back(Requeue::Retry { reason, limit: Some(TWICE) }).await,
            false => self.end(Outcome::Failed(reason)).await,
        }
    }

    /// Ends the job.
    pub(crate) async fn end(&self, outcome: Outcome) {
        let code = match &outcome {
            Outcome::Failed(reason) => Some(reason.code.clone()),
            Outcome::Succeeded { .. } | Outcome::Cancelled => None,
        };
        self.insist(code, || self.supervisor.store.finish(self.lease, outcome.clone())).await;
    }

    /// Gives the job back.
    async fn back(&self, why: Requeue) {
        let code = match &why {
            Requeue::Retry { reason, .. } => Some(reason.code.clone()),
            Requeue::Drain => None,
        };
        self.insist(code, || self.supervisor.store.requeue(self.lease, why.clone())).await;
    }

    /// Writes an end, again and again while the store is unwell. An answer that was lost shows as a lost lease.
    async fn insist<F: Future<Output = jobs::Result<jobs::Job>>>(
        &self,
        code: Option<String>,
        write: impl Fn() -> F,
    ) {
        let (began, mut wait) = (Instant::now(), Duration::from_millis(100));
        loop {
            match write().await {
                Ok(job) => {
                    tracing::info!(job = %job.id, state = %job.state, "work.done");
                    let _ = self.verdict.set(Verdict::new(job.state, code));
                    return;
                }
                Err(error) if error.is_refusal() => {
                    tracing::warn!(job = %self.lease.job, %error, "work.refused");
                    return;
                }
                Err(error) if began.elapsed() > INSIST => {
                    // The lease runs out, and the job is tried again.
                    tracing::error!(job = %self.lease.job, %error, "work.lost");
                    return;
                }
                Err(error) => tracing::warn!(job = %self.lease.job, %error, "work.again"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(10));
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}
