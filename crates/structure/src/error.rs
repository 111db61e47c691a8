//! What can be wrong with a structure, and where.

use std::fmt;

/// Place in a file, both counted from 1; the column counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a structure was not read, or a prediction cannot be written.
///
/// Reading errors print as `line:column: what`, so `format!("{path}:{error}")` names the whole place:
/// `1abc.pdb:104:31: x coordinate "27.2x1" is not a number`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field is not what the format says.
    #[error("{at}: {what}")]
    Syntax {
        /// Where the field begins.
        at: Place,
        /// What was expected and what was found.
        what: String,
    },
    /// The file is larger than the reader was told to accept.
    #[error("{at}: more than {limit} {unit}, the limit for one structure")]
    TooLarge {
        /// Where the limit was passed.
        at: Place,
        /// The limit, in `unit`.
        limit: usize,
        /// What is counted: bytes, atoms, residues.
        unit: &'static str,
    },
    /// The bytes are neither PDB nor mmCIF.
    #[error("1:1: expected a PDB or mmCIF file, found {found}")]
    UnknownFormat {
        /// How the file begins, or the format it has instead.
        found: String,
    },
    /// The file is well-formed and holds no amino-acid residue.
    #[error("1:1: expected at least one protein chain, found {found}")]
    NoProtein {
        /// What was in the file.
        found: String,
    },
    /// The parts of a prediction do not fit together, or hold values no file can hold.
    #[error("prediction {name:?}: {what}")]
    Prediction {
        /// Name of the target.
        name: String,
        /// What was expected and what was found.
        what: String,
    },
}

impl Error {
    /// Where in the file, if the error has a place.
    pub fn place(&self) -> Option<Place> {
        match self {
            Error::Syntax { at, .. } | Error::TooLarge { at, .. } => Some(*at),
            _ => None,
        }
    }
}
