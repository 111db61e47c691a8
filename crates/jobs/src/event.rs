//! What happened to a job, in order, and whom to tell of its end.

use crate::{JobId, Timestamp};
use serde_json::Value;
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
    /// What a worker said; for a change of state, `state` and what belongs to it.
    pub data: Value,
}

impl Event {
    /// The kind of the store's own events, which tell a change of state.
    pub const STATE: &'static str = "state";
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
