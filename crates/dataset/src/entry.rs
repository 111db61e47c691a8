//! One line of a dataset's index: what is known of a chain without reading its record.

use crate::Date;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// What a chain may be used for. The three never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Parameters are fitted to it.
    #[default]
    Train,
    /// Checkpoints and settings are chosen by it.
    Val,
    /// Reported once.
    Test,
}

impl Split {
    /// All of them, in the order of their numbers in the file.
    pub const ALL: [Split; 3] = [Split::Train, Split::Val, Split::Test];

    /// `train`, `val` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|s| s.name() == text);
        found.ok_or_else(|| format!("expected train, val or test, found {text:?}"))
    }
}

/// Which atoms a chain has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// N, CA, C and O at most: losses of side chains are masked.
    Backbone,
    /// Side chains too, at least CB of one residue.
    AllAtom,
}

impl Kind {
    /// Both of them, in the order of their numbers in the file.
    pub const ALL: [Kind; 2] = [Kind::Backbone, Kind::AllAtom];

    /// `backbone` or `all-atom`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backbone => "backbone",
            Self::AllAtom => "all-atom",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the index says of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name, unique in the dataset.
    pub id: String,
    /// The sequence cluster it belongs to: the name of the cluster's representative.
    pub cluster: String,
    /// What it may be used for.
    pub split: Split,
    /// Held-out chains only: no training chain is similar to it.
    pub no_train_homolog: bool,
    /// Residues of the sequence, unresolved ones included.
    pub length: usize,
    /// Rows of the alignment, the query included; 1 without an alignment.
    pub depth: usize,
    /// Which atoms it has.
    pub kind: Kind,
    /// Resolution of the experiment, Å, where known.
    pub resolution: Option<f32>,
    /// Day of release (or deposition, if the source gives that alone), where known.
    pub date: Option<Date>,
    /// Where it came from: a file, or part of a packed set.
    pub source: String,
    /// First half of the SHA-256 of its sequence: equal sequences are found without reading records.
    pub sequence_hash: [u8; 16],
}

/// First half of the SHA-256 of a sequence.
pub(crate) fn sequence_hash(sequence: &str) -> [u8; 16] {
    let digest = Sha256::digest(sequence.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}
