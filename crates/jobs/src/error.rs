//! What a store can refuse, and what can go wrong beneath it.

use crate::{Digest, JobId};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Sources are shared, since one failed commit is the answer to many callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such job, or no longer.
    #[error("job {0}: not found")]
    Unknown(JobId),
    /// The caller does not hold the job: it was late, or the job ended.
    #[error("job {job}: expected fence {fence} and a held job, found {found}")]
    LeaseLost {
        /// The job.
        job: JobId,
        /// The caller's fence.
        fence: i64,
        /// The job's fence and state.
        found: String,
    },
    /// An idempotency key was used for another request.
    #[error("idempotency key {key:?}: expected the request of job {job}, found another")]
    KeyReused {
        /// The key.
        key: String,
        /// The job it made.
        job: JobId,
    },
    /// A tenant has too many jobs waiting.
    #[error("tenant {tenant}: expected at most {limit} jobs waiting, found one more")]
    Quota {
        /// The tenant.
        tenant: String,
        /// What it may have.
        limit: u32,
    },
    /// A tenant asked for too much within 24 hours.
    #[error(
        "tenant {tenant}: expected a weight of at most {limit} in 24 hours, found {used} and {asked} more"
    )]
    WeightQuota {
        /// The tenant.
        tenant: String,
        /// What it may have.
        limit: u64,
        /// What it had.
        used: u64,
        /// What it asked for.
        asked: u64,
        /// When there is room for it; `None` is never.
        retry_after: Option<Duration>,
    },
    /// Nothing more can be written; what was accepted is safe.
    #[error("{}: no space left", .0.display())]
    DiskFull(PathBuf),
    /// Another program holds the database's write lock.
    #[error("{}: locked by another program", .0.display())]
    Busy(PathBuf),
    /// Others changed the same at once, again and again; nothing happened.
    #[error("{0}: others changed the same jobs at the same time")]
    Contended(&'static str),
    /// The database cannot be reached; nothing happened.
    #[error("{place}: {what}: expected an answer, found: {source}")]
    Unavailable {
        /// The database, without its password.
        place: String,
        /// What was to be done.
        what: &'static str,
        /// Why.
        source: Arc<sqlx::Error>,
    },
    /// The database's server is not who it should be, or does not speak TLS; nothing happened.
    #[error("{place}: expected a server that sslmode and sslrootcert accept, found: {source}")]
    Untrusted {
        /// The database, without its password.
        place: String,
        /// Why.
        source: Arc<sqlx::Error>,
    },
    /// The connection was lost while a change was being committed: it happened or it did not. Ask again: `submit` by key,
    /// the others by reading the job.
    #[error("{place}: {what}: the connection was lost at the commit, which happened or did not")]
    Uncertain {
        /// The database, without its password.
        place: String,
        /// What was to be done.
        what: &'static str,
    },
    /// Another store has the file open.
    #[error("{}: expected no other server on it, found one", .0.display())]
    InUse(PathBuf),
    /// A file is not what was written.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A blob is not there.
    #[error("blob {0}: not found")]
    NoBlob(Digest),
    /// The database refused.
    #[error("{what}: {source}")]
    Database {
        /// What was to be done.
        what: &'static str,
        /// Why not.
        source: Arc<sqlx::Error>,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: Arc<std::io::Error>,
    },
    /// A store of blobs that is not on this machine refused, or cannot be reached.
    #[error("{place}: {source}")]
    Remote {
        /// The blob's address there.
        place: String,
        /// Why.
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The store was closed.
    #[error("store: expected it open, found it closed")]
    Closed,
}

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull(path),
            _ => Self::Io { path, source: Arc::new(source) },
        }
    }

    pub(crate) fn database(what: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { what, source: Arc::new(source) }
    }

    pub(crate) fn damaged(path: &Path, expected: impl ToString, found: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), expected: expected.to_string(), found: found.to_string() }
    }

    /// The store refused this call and is well; otherwise something beneath it failed.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unknown(_)
                | Self::LeaseLost { .. }
                | Self::KeyReused { .. }
                | Self::Quota { .. }
                | Self::WeightQuota { .. }
        )
    }
}
