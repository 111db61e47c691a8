//! How much outside input may cost.

/// Upper bounds on one input file. The defaults hold the deepest alignments in use (a million rows)
/// and keep a hostile file from taking the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file after decompression.
    pub bytes: u64,
    /// Decompressed size over compressed size; looked at once 16 MiB have come out. An alignment of
    /// near-copies reaches about 100, a decompression bomb 1000 and more.
    pub ratio: u64,
    /// Records of one FASTA file.
    pub records: usize,
    /// Rows of one alignment.
    pub rows: usize,
    /// Residues of one target, and match columns of one alignment.
    pub columns: usize,
    /// Rows times match columns of one alignment: bytes of memory it takes.
    pub cells: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            ratio: 500,
            records: 100_000,
            rows: 2_000_000,
            columns: 100_000,
            cells: 2 << 30,
        }
    }
}
