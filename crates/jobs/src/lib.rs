//! The durable queue beneath the service: jobs, leases, events, results.
//!
//! A [`JobStore`] keeps jobs: an opaque JSON request, blobs it refers to, and a [`State`]. Workers claim a job under a [`Lease`],
//! whose fence rises with every claim, so of two workers that believe they have the same job one is refused. The end of a
//! job (state, event, result, webhook call) is one transaction. [`SqliteStore`] is the store of one server,
//! [`PostgresStore`] that of several; both run the same operations (`sql`) and pass the same tests. [`Blobs`] holds the
//! bytes, named by their sha256, in a folder or, with the feature `s3`, in a bucket.
//!
//! | Transition | Call | What a crash leaves |
//! |---|---|---|
//! | accepted → queued | [`Blobs::put`], then `submit`, then the answer | no job, or a queued one; perhaps an orphan blob |
//! | accepted → succeeded | `submit` of what has a result already | no job, or one with its result |
//! | queued, `retry_wait` → running | `claim` | a lease that the reaper ends |
//! | running: progress | `heartbeat`, `append_event` | at most one update lost |
//! | running → succeeded, failed | `finish` | all or nothing |
//! | running → `retry_wait`, failed | `requeue` with a reason; `reap` of an expired lease | all or nothing |
//! | running → queued | `requeue` at a drain; `reap` at boot | all or nothing |
//! | queued, `retry_wait` → cancelled | `cancel` | all or nothing |
//! | running → cancelling → cancelled | `cancel`, then `finish` or `reap` | the reaper ends it |
//!
//! **Invariant:** knows no HTTP and no tensors; does not look into requests, results or events.

mod blobs;
mod clock;
mod digest;
mod error;
mod event;
mod job;
mod lease;
mod policy;
mod postgres;
mod probe;
mod sql;
mod sqlite;
mod state;
mod store;

#[cfg(feature = "s3")]
pub use blobs::S3Options;
pub use blobs::{Blobs, Parts, Swept};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use digest::{Digest, NotADigest};
pub use error::{Error, Result};
pub use event::{Delivery, Event};
pub use job::{Job, JobId, Reason, Submission, Submitted};
pub use lease::{Beat, Claim, Lease, Outcome, Reap, Reaped, Requeue};
pub use policy::{Policy, Quotas};
pub use postgres::{PostgresOptions, PostgresStore};
pub use probe::{Crash, Point, Probe};
pub use sqlite::{Options, SqliteStore};
pub use state::State;
pub use store::{FAR, JobStore, Query, Stats};
