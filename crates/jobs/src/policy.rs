//! Limits and durations, in one place.

use crate::{Job, Reason, Timestamp};
use std::time::Duration;

/// How many jobs of one tenant may be where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Waiting: queued or in `retry_wait`.
    pub queued: u32,
    /// Held by a worker; more wait, and let other tenants pass.
    pub running: u32,
    /// Weight of all jobs accepted in the last 24 hours; `u64::MAX` is no limit. A job that was cancelled before it
    /// started, or that was given an earlier result, weighs nothing.
    pub weight_per_day: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { queued: 1000, running: 16, weight_per_day: u64::MAX }
    }
}

/// How a store treats jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// A worker that is silent for so long is taken for dead.
    pub lease: Duration,
    /// Attempts before a job fails, unless the submission says otherwise.
    pub max_attempts: u32,
    /// After so many lost workers a job is poison and fails.
    pub worker_deaths: u32,
    /// The wait after the first failed attempt; it doubles with each.
    pub backoff: Duration,
    /// The longest wait.
    pub max_backoff: Duration,
    /// Quotas of a tenant that has none of its own.
    pub quotas: Quotas,
    /// Results and events are kept for so long after the end.
    pub retention: Duration,
    /// The bare row is kept for so long after the end, so that a client learns that its result is gone.
    pub memory: Duration,
    /// Tries of a webhook call.
    pub webhook_tries: u32,
    /// The wait after its first try; it doubles with each.
    pub webhook_backoff: Duration,
}

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Policy {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            max_attempts: 5,
            worker_deaths: 3,
            backoff: Duration::from_secs(2),
            max_backoff: Duration::from_secs(300),
            quotas: Quotas::default(),
            retention: 7 * DAY,
            memory: 30 * DAY,
            webhook_tries: 8,
            webhook_backoff: Duration::from_secs(5),
        }
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another attempt, not before then.
    Wait(Timestamp),
    /// None.
    Fail,
}

impl Policy {
    /// What follows when an attempt of `job` failed, the `same`-th one with this reason's code.
    pub(crate) fn after_failure(
        &self,
        job: &Job,
        reason: &Reason,
        same: u32,
        limit: Option<u32>,
        now: Timestamp,
    ) -> Next {
        let poison = reason.code == Reason::WORKER_LOST && same >= self.worker_deaths;
        if poison || job.attempts >= job.max_attempts || limit.is_some_and(|limit| same >= limit) {
            return Next::Fail;
        }
        // No jitter: claims are made one after another, so jobs that fall due together do no harm.
        Next::Wait(now + doubled(self.backoff, job.attempts).min(self.max_backoff))
    }

    /// How long to wait after the `tries`-th try of a webhook call.
    pub(crate) fn after_try(&self, tries: u32) -> Duration {
        doubled(self.webhook_backoff, tries)
    }
}

/// `first`, doubled for every attempt after the first.
fn doubled(first: Duration, attempts: u32) -> Duration {
    first.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_do_not_overflow() {
        let first = Duration::from_millis(300);
        assert_eq!(doubled(first, 1), first);
        assert_eq!(doubled(first, 4), Duration::from_millis(2400));
        assert!(doubled(first, 200) >= doubled(first, 31));
    }
}
