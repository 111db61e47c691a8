//! What was refused, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

/// Why a chain or a file is not in the dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The file or the chain's data cannot be read.
    Unreadable,
    /// Resolution too low.
    Resolution,
    /// Too late, or without a date where one is asked for.
    Date,
    /// Too short or too long.
    Length,
    /// Most of the sequence is one type of residue.
    OneType,
    /// Too few residues have coordinates.
    Unresolved,
    /// Another chain has its id.
    SameId,
    /// A chain of another split has its sequence.
    HeldOut,
    /// There is a split table, and it does not name the chain.
    NotInSplit,
}

impl Reason {
    /// One word for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Resolution => "resolution",
            Self::Date => "date",
            Self::Length => "length",
            Self::OneType => "one-type",
            Self::Unresolved => "unresolved",
            Self::SameId => "same-id",
            Self::HeldOut => "held-out",
            Self::NotInSplit => "not-in-split",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A chain, or a whole file, that is not in the dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The chain, or empty for a file.
    pub id: String,
    /// Where it came from.
    pub source: String,
    /// In one word.
    pub reason: Reason,
    /// In a sentence: expected and found.
    pub what: String,
}

impl Refused {
    pub(crate) fn new(id: &str, source: &str, reason: Reason, what: impl Into<String>) -> Self {
        Self { id: id.to_string(), source: source.to_string(), reason, what: what.into() }
    }
}

/// The outcome of an ingest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Chains in the dataset.
    pub kept: usize,
    /// All that is not.
    pub refused: Vec<Refused>,
    /// (id, note) of chains that are kept though something about them was changed.
    pub notes: Vec<(String, String)>,
}

impl Report {
    /// How many were refused for each reason.
    pub fn by_reason(&self) -> BTreeMap<Reason, usize> {
        let mut counts = BTreeMap::new();
        self.refused.iter().for_each(|r| *counts.entry(r.reason).or_default() += 1);
        counts
    }

    /// A table with header: `id`, `source`, `outcome` (a reason, or `note`), `what`.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let plain = |text: &str| text.replace(['\t', '\n', '\r'], " ");
        writeln!(out, "id\tsource\toutcome\twhat")?;
        for r in &self.refused {
            writeln!(out, "{}\t{}\t{}\t{}", plain(&r.id), plain(&r.source), r.reason, plain(&r.what))?;
        }
        for (id, note) in &self.notes {
            writeln!(out, "{}\t\tnote\t{}", plain(id), plain(note))?;
        }
        Ok(())
    }
}
