//! What can be wrong with a job file, said so that it can be put right.

use crate::Place;

/// Why a job file cannot be read, or a request not be folded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No known dialect.
    #[error(
        "{file}: expected a job file (AlphaFold Server or AlphaFold 3 JSON, Boltz YAML, ColabFold FASTA or CSV, or \
         jobs with `sequence` or `alignment`), found {found}"
    )]
    Unknown {
        /// File name.
        file: String,
        /// What it looks like.
        found: String,
    },
    /// Broken JSON or YAML, a value of another type, an unknown or missing key.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// The parser's words.
        message: String,
    },
    /// A value that cannot be.
    #[error("{place}: expected {expected}, found {found}")]
    Value {
        /// Where.
        place: Place,
        /// What may stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Sound, but not for this program.
    #[error("{place}: {what} not supported yet")]
    Unsupported {
        /// Where.
        place: Place,
        /// What, with its verb.
        what: String,
    },
    /// Beyond one of [`crate::Limits`].
    #[error("{place}: expected at most {limit} {what}, found more")]
    Limit {
        /// Where.
        place: Place,
        /// What is counted.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
}

impl Error {
    /// Where it is; only the file for [`Error::Unknown`].
    pub fn place(&self) -> Place {
        match self {
            Self::Unknown { file, .. } => Place::file(file),
            Self::Syntax { place, .. }
            | Self::Value { place, .. }
            | Self::Unsupported { place, .. }
            | Self::Limit { place, .. } => place.clone(),
        }
    }

    pub(crate) fn value(place: &Place, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Value { place: place.clone(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn limit(place: &Place, what: &'static str, limit: u64) -> Self {
        Self::Limit { place: place.clone(), what, limit }
    }
}

/// A text as messages quote it: short, without control characters.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().nth(40).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
