//! Leases: who may write about a running job, and what is written.

use crate::{Digest, Job, JobId, Reason, Timestamp};
use serde_json::Value;

/// The right to write about a job. The fence alone decides: a lease that ran out is still good as long as nobody
/// took the job away, so slow work is not lost for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// The job's fence at the claim; any other fence is refused.
    pub fence: i64,
}

/// A claimed job.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The job, running.
    pub job: Job,
    /// What every later call about it needs.
    pub lease: Lease,
}

/// What a worker that reports is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Go on; the lease now ends then.
    Continue(Timestamp),
    /// Stop; the job is being cancelled. The lease is renewed, too, so that there is time to stop.
    Stop(Timestamp),
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With a result. If the job is being cancelled by now, it ends cancelled and the result is dropped.
    Succeeded {
        /// What is shown; the store does not look into it.
        result: Value,
        /// Blobs it refers to; stored already.
        blobs: Vec<Digest>,
    },
    /// With an error that no further attempt would mend.
    Failed(Reason),
    /// Because it was asked for: the worker stopped.
    Cancelled,
}

/// Why a running job goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeue {
    /// The server stops; the attempt does not count.
    Drain,
    /// The attempt failed and another may succeed.
    Retry {
        /// Why it failed.
        reason: Reason,
        /// After so many attempts that ended with this code the job fails, whatever attempts are left.
        /// For [`Reason::WORKER_LOST`] the policy's own limit holds, too.
        limit: Option<u32>,
    },
}

/// Which leases a reaper ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reap {
    /// Those that ran out; their workers count as lost.
    Expired,
    /// Those of this server's workers: it starts, and they were its own children, so none is left. Attempts do not
    /// count. In a database of one server that is all; of several, those that were claimed under this server's name.
    Boot,
}

/// What a reaper did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reaped {
    /// Jobs that go back to the queue, at once or later.
    pub requeued: u32,
    /// Jobs that failed.
    pub failed: u32,
    /// Jobs whose cancellation was completed.
    pub cancelled: u32,
    /// Finished jobs whose result and events were dropped.
    pub expired: u32,
    /// Finished jobs that were removed altogether.
    pub forgotten: u32,
}

impl Reaped {
    /// Nothing was left to do; otherwise there may be more.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
