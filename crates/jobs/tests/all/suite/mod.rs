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

/// Every case as a test of a backend, with attributes if need be.
macro_rules! conformance {
    ($backend:ty $(, $(#[$attribute:meta])+)?) => {
        crate::suite::conformance! { @ $backend, [$($(#[$attribute])+)?],
                submit::{
                    an_accepted_job_is_queued, an_unknown_job_is_an_error, a_key_is_one_job, a_key_holds_when_submits_race,
                    a_batch_is_all_or_nothing, waiting_jobs_are_limited,
                },
                reuse::{
                    what_has_a_result_is_not_run_again, only_a_result_that_is_kept_is_reused,
                },
                weight::{
                    a_day_has_its_weight, what_did_not_start_weighs_nothing, a_batch_weighs_together,
                },
                claim::{
                    a_claim_runs_the_job, a_job_is_not_claimed_twice, priority_goes_before_age,
                    a_tenant_at_its_limit_lets_others_pass, of_many_claimers_each_job_has_one,
                },
                lease::{
                    a_heartbeat_renews_the_lease, a_late_worker_is_refused, slow_work_is_not_lost_for_nothing,
                    fences_are_not_guessed, a_restart_keeps_everything, a_clock_set_back_leaves_no_job_waiting, an_hour_more_or_less_loses_nothing,
                },
                failure::{
                    a_failed_attempt_waits_longer_each_time, bad_input_is_not_tried_again, out_of_memory_twice_is_enough,
                    a_job_that_kills_its_workers_is_poison, a_drain_gives_the_attempt_back,
                },
                cancel::{
                    a_waiting_job_is_cancelled_at_once, a_running_job_is_stopped_by_its_worker,
                    a_cancelled_job_does_not_come_back, the_reaper_ends_what_the_worker_does_not,
                    a_success_that_came_first_stays, of_cancel_and_success_one_wins,
                },
                events::{
                    events_are_read_from_any_number_on, events_of_many_writers_have_no_gaps, changes_are_hinted,
                    an_end_is_told_until_it_is_heard,
                },
                keep::{
                    an_old_job_expires_and_is_forgotten, a_large_heap_is_reaped_in_parts, jobs_are_listed_in_pages, a_queued_job_knows_its_place,
                    numbers_are_of_the_present,
                }
        }
    };
    (@ $backend:ty, $attributes:tt, $($module:ident::{$($case:ident),* $(,)?}),* $(,)?) => {$(
        mod $module {
            use super::*;
            $(crate::suite::conformance! { @case $backend, $attributes, $module, $case })*
        }
    )*};
    (@case $backend:ty, [$(#[$attribute:meta])*], $module:ident, $case:ident) => {
        $(#[$attribute])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            crate::suite::$module::$case(crate::suite::Bench::<$backend>::new().await).await;
        }
    };
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
