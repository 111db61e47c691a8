//! What can be wrong with a dataset or with what it is made from.

use crate::Split;
use nn::files::FileError;
use std::path::PathBuf;

/// Every message names the file, and the chain and offset where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A file could not be mapped.
    #[error(transparent)]
    File(#[from] FileError),
    /// The container is not a whole dataset file.
    #[error("{file}: byte {offset}: expected {expected}, found {found}")]
    Format {
        /// The file.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The record of one chain is damaged.
    #[error("{file}: chain {id} at byte {offset}: {what}")]
    Record {
        /// The file.
        file: String,
        /// The chain.
        id: String,
        /// Where its record begins.
        offset: u64,
        /// Expected and found.
        what: String,
    },
    /// A chain that is to be written does not fit together.
    #[error("chain {id}: {what}")]
    Chain {
        /// The chain.
        id: String,
        /// Expected and found.
        what: String,
    },
    /// What a dataset is to be made from cannot be used at all.
    #[error("{place}: {what}")]
    Source {
        /// File, and line where there is one.
        place: String,
        /// Expected and found.
        what: String,
    },
    /// A sequence is in two splits.
    #[error(
        "chain {other} ({other_split}) has the sequence of {held_out} ({split}); {count} chains in all have \
         one of another split"
    )]
    Leak {
        /// The chain of the split that is to stay clean.
        held_out: String,
        /// Its split.
        split: Split,
        /// The chain that should not be there.
        other: String,
        /// Its split.
        other_split: Split,
        /// How many such chains there are.
        count: usize,
    },
    /// Several files that do not belong together.
    #[error("{file}: {what}")]
    Parts {
        /// The file that does not fit the others.
        file: String,
        /// Expected and found.
        what: String,
    },
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn source(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Source { place: place.into(), what: what.into() }
    }
}
