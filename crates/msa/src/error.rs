//! What can be wrong with an input, said so that it can be put right.

use std::fmt;
use std::path::PathBuf;

/// A place in a text file; lines and columns count from 1, columns in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File name as given, or `standard input`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1; 0 where the whole line is meant.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            0 => write!(f, "{}:{}", self.file, self.line),
            column => write!(f, "{}:{}:{column}", self.file, self.line),
        }
    }
}

/// Why an input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was opened or read.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// Nothing in the file but blank space.
    #[error("{file}: expected at least one sequence, found an empty file")]
    Empty {
        /// File name.
        file: String,
    },
    /// A folder without a file of a known format.
    #[error("{}: expected .fasta, .a3m or .sto files (also .gz or .zst), found none in this folder", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Standard input named twice.
    #[error("`-` (standard input) is given {count} times, expected once")]
    StandardInput {
        /// How often.
        count: usize,
    },
    /// Neither FASTA, A3M nor Stockholm.
    #[error("{file}: expected FASTA, A3M or Stockholm, found {found}")]
    Format {
        /// File name.
        file: String,
        /// What it looks like.
        found: String,
    },
    /// A sound file of another kind than was asked for.
    #[error("{file}: expected an alignment (A3M or Stockholm), found {found}")]
    NotAnAlignment {
        /// File name.
        file: String,
        /// What it is.
        found: String,
    },
    /// A byte that is no residue.
    #[error("{place}: expected {expected}, found {found}")]
    Residue {
        /// Where.
        place: Place,
        /// What may stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// Residues before the first `>`.
    #[error("{place}: expected a header line beginning with `>`, found {found}")]
    NoHeader {
        /// Where.
        place: Place,
        /// The first bytes of the line.
        found: String,
    },
    /// A header with nothing below it.
    #[error("{place}: expected residues after the header of `{name}`, found none")]
    NoSequence {
        /// The header.
        place: Place,
        /// The record.
        name: String,
    },
    /// A line of a Stockholm file that is no `name sequence` pair.
    #[error("{place}: expected {expected}, found {found}")]
    Line {
        /// Where.
        place: Place,
        /// What may stand there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// An alignment row that does not fit the query.
    #[error(
        "{place}: row {row} (`{name}`): expected {expected} match columns as in the query, found {found}"
    )]
    RowLength {
        /// The row's header.
        place: Place,
        /// Row, from 1; the query is row 1.
        row: usize,
        /// First word of its header.
        name: String,
        /// Columns of the query.
        expected: usize,
        /// Columns of the row.
        found: usize,
    },
    /// More than one chain where one is expected.
    #[error("{place}: expected one chain, found {found}; complexes are not supported yet")]
    Complex {
        /// Where it shows.
        place: Place,
        /// What says so.
        found: String,
    },
    /// More than one alignment in one file.
    #[error("{place}: expected one alignment, found the start of another")]
    SecondAlignment {
        /// Where it starts.
        place: Place,
    },
    /// The alignment belongs to another sequence.
    #[error(
        "{alignment}: the alignment's first row is not the sequence of `{target}`: position {position}: \
         expected {expected}, found {found}"
    )]
    QueryDiffers {
        /// The alignment's file.
        alignment: String,
        /// The target.
        target: String,
        /// First position that differs, from 1.
        position: usize,
        /// The target's residue there.
        expected: String,
        /// The alignment's.
        found: String,
    },
    /// A gzip or zstd stream that does not decode.
    #[error("{file}: damaged {format} data: {source}")]
    Compressed {
        /// File name.
        file: String,
        /// `gzip` or `zstd`.
        format: &'static str,
        /// The decoder's words.
        source: std::io::Error,
    },
    /// What another reader says of its input.
    #[error("{0}")]
    Said(String),
    /// Beyond one of [`crate::Limits`].
    #[error("{file}: expected at most {limit} {what}, found more")]
    Limit {
        /// File name.
        file: String,
        /// What is counted.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
}
