//! A job, and what it is made from.

use crate::{Digest, State, Timestamp};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A job's name: a UUIDv7, made by the store and by nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub(crate) Uuid);

impl JobId {
    pub(crate) fn fresh() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as a number, as which a trace can be named after it.
    pub fn number(self) -> u128 {
        self.0.as_u128()
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who asks; quotas and idempotency keys are the tenant's own.
    pub tenant: String,
    /// The request; the store does not look into it.
    pub request: Value,
    /// Blobs the request refers to. They are stored already, and are kept as long as the job.
    pub blobs: Vec<Digest>,
    /// The same key with the same request and blobs is the same job.
    pub key: Option<String>,
    /// Higher goes first; equals go in the order of acceptance.
    pub priority: i32,
    /// Attempts before the job fails; `None` takes the policy's.
    pub max_attempts: Option<u32>,
    /// Whom to tell of the end; the store does not look into it.
    pub webhook: Option<String>,
    /// What decides on the result, and nothing else. If a job of the tenant with the same content succeeded and is not
    /// expired, the new one succeeds at once with that result. `None` always runs.
    pub content: Option<Digest>,
    /// What it counts against [`Quotas::weight_per_day`](crate::Quotas::weight_per_day).
    pub weight: u64,
}

impl Submission {
    /// A plain request of a tenant.
    pub fn new(tenant: impl Into<String>, request: Value) -> Self {
        Self {
            tenant: tenant.into(),
            request,
            blobs: Vec::new(),
            key: None,
            priority: 0,
            max_attempts: None,
            webhook: None,
            content: None,
            weight: 0,
        }
    }

    /// What must be equal for a key to mean the same job.
    pub(crate) fn digest(&self) -> Digest {
        let request = self.request.to_string();
        let blobs = self.blobs.iter().map(|blob| &blob.as_bytes()[..]);
        Digest::of_parts(std::iter::once(request.as_bytes()).chain(blobs))
    }
}

/// The answer to one submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The job.
    pub job: Job,
    /// It was made by this submission; otherwise its key was known.
    pub fresh: bool,
}

/// Why an attempt or a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub message: String,
}

impl Reason {
    /// The code of an attempt whose worker vanished.
    pub const WORKER_LOST: &'static str = "worker_lost";

    /// A reason.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Order of acceptance, over all tenants; the cursor of lists.
    pub seq: i64,
    /// Who asked.
    pub tenant: String,
    /// What for; null once expired.
    pub request: Value,
    /// Higher goes first.
    pub priority: i32,
    /// Where it is.
    pub state: State,
    /// Attempts begun, less those given back by a drain.
    pub attempts: u32,
    /// Attempts before it fails.
    pub max_attempts: u32,
    /// Rises with every claim.
    pub fence: i64,
    /// Who holds, or last held, its lease.
    pub worker: Option<String>,
    /// When it may be tried again; only in `retry_wait`.
    pub due: Option<Timestamp>,
    /// When its lease ends; only while held.
    pub lease: Option<Timestamp>,
    /// Accepted.
    pub created: Timestamp,
    /// First claimed.
    pub started: Option<Timestamp>,
    /// Reached its terminal state.
    pub finished: Option<Timestamp>,
    /// Number of its latest event.
    pub last_event: i64,
    /// What a worker gave with success.
    pub result: Option<Value>,
    /// Why the latest attempt failed; of a failed job, why it failed.
    pub reason: Option<Reason>,
    /// Result, request and events are gone; the row remains for a while.
    pub expired: bool,
    /// The job whose result it was given instead of being run.
    pub reused: Option<JobId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_digest_covers_request_and_blobs() {
        let plain = Submission::new("a", json!({"x": 1}));
        let digests = [
            plain.digest(),
            Submission { request: json!({"x": 2}), ..plain.clone() }.digest(),
            Submission { blobs: vec![Digest::of(b"m")], ..plain.clone() }.digest(),
        ];
        assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
        // Neither who is told nor the urgency makes it another request.
        let urgent = Submission { priority: 3, webhook: Some("w".into()), weight: 7, ..plain.clone() };
        assert_eq!(urgent.digest(), digests[0]);
    }
}
