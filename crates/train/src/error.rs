//! What can go wrong in a training run.

use nn::files::FileError;
use std::path::{Path, PathBuf};

/// Any error of a data source, a task or a tracker.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting that cannot be.
    #[error("{place}: expected {expected}, found {found}")]
    Config {
        /// The setting.
        place: String,
        /// What it may be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An array file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint is not what was written.
    #[error("{}: expected {expected}, found {found}{hint}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
        /// What to do; begins with a line break, or is empty.
        hint: String,
    },
    /// A checkpoint belongs to another run.
    #[error("{}: cannot resume: {what}: expected {expected}, found {found}", path.display())]
    Other {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: String,
        /// As the checkpoint has it.
        expected: String,
        /// As this run has it.
        found: String,
    },
    /// A save failed; what was there before is untouched.
    #[error("{}: could not be saved: {source}\n  hint: {previous}", path.display())]
    Save {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        source: Box<Error>,
        /// What is still there.
        previous: String,
    },
    /// Almost no sample can be used.
    #[error("step {step}: {skipped} of the last {seen} samples were skipped; the latest: {latest}")]
    Skipping {
        /// The step it was noticed at.
        step: u64,
        /// Samples skipped.
        skipped: u64,
        /// Samples seen.
        seen: u64,
        /// Why the latest was skipped.
        latest: String,
    },
    /// The task failed where a run cannot go on without it.
    #[error("step {step}: {what}: {source}")]
    Task {
        /// The step.
        step: u64,
        /// What it was to do.
        what: &'static str,
        /// Why it failed.
        source: BoxError,
    },
    /// A part of the program panicked; its message is on stderr.
    #[error("{0} failed unexpectedly")]
    Panicked(&'static str),
    /// Ranks could not talk to each other.
    #[error("collective: {0}")]
    Collective(String),
    /// Another rank failed, which reports why.
    #[error("rank {rank} failed")]
    Elsewhere {
        /// Which.
        rank: usize,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// `place` should be `expected` and is `found`.
    pub fn config(place: impl ToString, expected: impl ToString, found: impl ToString) -> Self {
        Self::Config { place: place.to_string(), expected: expected.to_string(), found: found.to_string() }
    }

    /// Reading or writing `path` failed.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// The file of a checkpoint is not what was written.
    pub(crate) fn damaged(path: &Path, expected: impl ToString, found: impl ToString) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        Self::Damaged { path: path.to_owned(), expected, found, hint: String::new() }
    }
}
