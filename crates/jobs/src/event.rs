//! What happened to a job, in order, and whom to tell of its end.

use crate::{Job, JobId, State, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// 1, 2, 3 … in each job, without gaps.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// [`Event::STATE`], or what a worker called it.
    pub kind: String,
    /// What a worker said; for a change of state, see [`Event::STATE`].
    pub data: Value,
}

impl Event {
    /// The kind of the store's own events, which tell a change of state. Their data is `state` and what belongs to it:
    /// - `running`: `attempts` (this one included), `worker`;
    /// - `retry_wait`: `attempts`, `reason` (`code`, `message`), `due` (RFC 3339);
    /// - `failed`: `attempts`, `reason`;
    /// - `succeeded`: `reused`, the id of the job whose result it was given, if it was not run.
    pub const STATE: &'static str = "state";

    /// The data of the event that tells `job`'s present state.
    pub(crate) fn state(job: &Job) -> Value {
        let mut data = json!({ "state": job.state.as_str() });
        if matches!(job.state, State::Running | State::RetryWait | State::Failed) {
            data["attempts"] = job.attempts.into();
        }
        if job.state == State::Running {
            data["worker"] = job.worker.as_deref().into();
        }
        if matches!(job.state, State::RetryWait | State::Failed)
            && let Some(reason) = &job.reason
        {
            data["reason"] = json!({ "code": reason.code, "message": reason.message });
        }
        if let Some(due) = job.due {
            data["due"] = due.to_string().into();
        }
        if job.state == State::Succeeded
            && let Some(reused) = job.reused
        {
            data["reused"] = reused.to_string().into();
        }
        data
    }
}

/// A webhook call that is to be made. It is made at least once, so a receiver must know the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Stays the same over all tries.
    pub id: Uuid,
    /// The job that ended.
    pub job: JobId,
    /// As in the submission.
    pub webhook: String,
    /// This is try number …, from 1.
    pub tries: u32,
}
