//! What was changed in an input before use, for the user to see.

use std::fmt;

/// One change, where it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `file` or `file:line` of the record.
    pub place: String,
    /// What was done.
    pub change: Change,
}

/// What was done to an input. Counts are of residues unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `\r\n` or `\r` read as line ends.
    LineEnds,
    /// A UTF-8 byte order mark skipped.
    ByteOrderMark,
    /// Lower-case residues of a target read as upper case.
    LowerCase(usize),
    /// Trailing `*` dropped.
    Stops(usize),
    /// `-` or `.` of a target removed.
    Gaps(usize),
    /// One letter read as another: `U` as `C`, `B` as `D`, `Z` as `E`, `J` and `O` as `X`.
    Read {
        /// As written.
        from: char,
        /// As used.
        to: char,
        /// How many.
        count: usize,
    },
    /// Residues that are `X` in the input.
    Unknown(usize),
    /// Bytes of a header that are not UTF-8 were replaced.
    HeaderEncoding,
    /// The name cannot be a folder's, or was empty.
    Renamed {
        /// As written.
        from: String,
        /// As used.
        to: String,
    },
    /// Another target has this name already.
    Duplicate {
        /// As written.
        from: String,
        /// As used.
        to: String,
    },
    /// Columns in which the query has a gap were removed; what other rows have there counts as insertions.
    QueryGaps(usize),
    /// Lower-case residues of the query row, insertions of its alignment, are left out of the model.
    QueryInsertions(usize),
    /// Rows of predicted secondary structure (`ss_pred`, `ss_conf`, `ss_dssp`, `sa_dssp`) skipped; counts rows.
    StructureRows(usize),
    /// `*` inside rows other than the query read as `X`.
    RowStops(usize),
    /// A FASTA file whose records have one length and gaps; it may be meant as an alignment.
    LooksAligned(usize),
    /// A Stockholm file without its last line, `//`.
    NoEnd,
    /// Letters that are those of DNA or RNA.
    Nucleotides,
    /// An alignment beside a FASTA file, same stem and sequence, is used for it.
    Paired(String),
    /// What another reader says of its input.
    Said(String),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineEnds => write!(f, "Windows or old Mac line ends (`\\r`) read as line ends"),
            Self::ByteOrderMark => write!(f, "byte order mark skipped"),
            Self::LowerCase(n) => write!(f, "{n} lower-case residue{} read as upper case", s(*n)),
            Self::Stops(n) => write!(f, "{n} stop{} (`*`) at the end dropped", s(*n)),
            Self::Gaps(n) => write!(f, "{n} gap{} (`-`) removed", s(*n)),
            Self::Read { from, to, count } => write!(f, "{count} `{from}` read as `{to}`"),
            Self::Unknown(n) => write!(f, "{n} unknown residue{} (`X`), without coordinates", s(*n)),
            Self::HeaderEncoding => write!(f, "header is not UTF-8; unreadable bytes replaced"),
            Self::Renamed { from, to } if from.is_empty() => {
                write!(f, "no name in the header; called `{to}`")
            }
            Self::Renamed { from, to } => write!(f, "name `{from}` becomes `{to}` to be safe as a folder"),
            Self::Duplicate { from, to } => write!(f, "name `{from}` is taken; this one becomes `{to}`"),
            Self::QueryGaps(n) => {
                write!(
                    f,
                    "{n} column{} where the query has a gap removed; residues there count as insertions",
                    s(*n)
                )
            }
            Self::QueryInsertions(n) => {
                write!(f, "{n} lower-case residue{} of the query, outside the match columns, left out", s(*n))
            }
            Self::StructureRows(n) => write!(f, "{n} row{} of secondary structure skipped", s(*n)),
            Self::RowStops(n) => write!(f, "{n} `*` inside alignment rows read as `X`"),
            Self::LooksAligned(n) => write!(
                f,
                "{n} records of one length with gaps, folded one by one; name the file .a3m to use it as an alignment"
            ),
            Self::NoEnd => write!(f, "no `//` at the end: the file may be cut off"),
            Self::Nucleotides => write!(f, "only letters of DNA or RNA; read as a protein all the same"),
            Self::Paired(file) => write!(f, "uses the alignment {file} beside it"),
            Self::Said(text) => f.write_str(text),
        }
    }
}

fn s(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
