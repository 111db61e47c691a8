//! What every backend must do: cases that know only [`JobStore`], run by [`conformance`] as a test each.

pub mod cancel;
pub mod claim;
pub mod events;
pub mod failure;
pub mod keep;
pub mod lease;
pub mod reuse;
pub mod submit;
pub mod weight;

use jobs::{
    Claim, Error, Job, JobId, JobStore, ManualClock, Outcome, Policy, Quotas, Reason, Requeue, State,
    Submission, Timestamp,
};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// One fresh database; opened again after a close it is the same one.
pub trait Backend: Default {
    type Store: JobStore + 'static;

    async fn open(&self, policy: Policy, clock: Arc<ManualClock>) -> Self::Store;
    async fn close(&self, store: &Self::Store);
}

/// Every case as a test of a backend.
macro_rules! conformance {
    ($backend:ty: $($module:ident::{$($case:ident),* $(,)?}),* $(,)?) => {$(
        mod $module {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::suite::$module::$case(crate::suite::Bench::<$backend>::new().await).await;
            })*
        }
    )*};
}
pub(crate) use conformance;

/// A store, its clock, and short ways to say things.
pub struct Bench<B: Backend> {
    backend: B,
    pub clock: Arc<ManualClock>,
    pub store: Arc<B::Store>,
}

/// All durations differ, so that one taken for another shows.
pub fn policy() -> Policy {
    Policy {
        lease: secs(15),
        max_attempts: 4,
        worker_deaths: 3,
        backoff: secs(2),
        max_backoff: secs(7),
        quotas: Quotas { queued: 100, running: 50, ..Quotas::default() },
        retention: secs(1000),
        memory: secs(3000),
        webhook_tries: 3,
        webhook_backoff: secs(5),
    }
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub const START: Timestamp = Timestamp(1_700_000_000_123);

impl<B: Backend> Bench<B> {
    pub async fn new() -> Self {
        let (backend, clock) = (B::default(), Arc::new(ManualClock::new(START)));
        let store = Arc::new(backend.open(policy(), clock.clone()).await);
        Self { backend, clock, store }
    }

    /// As if the server was stopped and started again.
    pub async fn restart(&mut self) {
        self.backend.close(&self.store).await;
        self.store = Arc::new(self.backend.open(policy(), self.clock.clone()).await);
    }

    /// Accepts one job.
    pub async fn submit(&self, submission: Submission) -> Job {
        let mut answers = self.store.submit(vec![submission]).await.unwrap();
        assert_eq!(answers.len(), 1);
        answers.remove(0).job
    }

    /// Accepts a plain job.
    pub async fn plain(&self) -> Job {
        self.submit(Submission::new("ada", json!({ "sequence": "MKV" }))).await
    }

    /// Claims what must be there.
    pub async fn claim(&self) -> Claim {
        self.store.claim("worker-1").await.unwrap().expect("a job to claim")
    }

    /// Nothing can be claimed.
    pub async fn none(&self) {
        assert_eq!(self.store.claim("worker-1").await.unwrap(), None);
    }

    /// A plain job, claimed.
    pub async fn running(&self) -> Claim {
        self.plain().await;
        self.claim().await
    }

    pub async fn state(&self, job: JobId) -> State {
        self.store.get(job).await.unwrap().state
    }

    /// The states a job went through, as its events tell.
    pub async fn history(&self, job: JobId) -> Vec<String> {
        let events = self.store.events(job, 0, 1000).await.unwrap();
        events.iter().filter_map(|event| Some(event.data["state"].as_str()?.to_owned())).collect()
    }
}

pub fn success() -> Outcome {
    Outcome::Succeeded { result: json!({ "plddt": 91.5 }), blobs: Vec::new() }
}

pub fn retry(code: &str, limit: Option<u32>) -> Requeue {
    Requeue::Retry { reason: Reason::new(code, "what happened"), limit }
}

pub fn is_lost<T: std::fmt::Debug>(result: jobs::Result<T>) {
    assert!(matches!(result, Err(Error::LeaseLost { .. })), "expected a lost lease, found {result:?}");
}
