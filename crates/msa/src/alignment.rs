//! An alignment in memory: one byte a cell, insertions kept sparse and exact.

/// Residues a row has before match column `column` that the query does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Match column, from 0.
    pub column: u32,
    /// How many residues, at least 1.
    pub count: u32,
}

/// A multiple sequence alignment on the query's residues. Row 0 is the query and has no gap.
///
/// Letters are `A`–`Z` as in the file (`U`, `B`, `Z`, `J`, `O`, `X` kept, so that rows which differ in
/// the file still differ here) and `-`. Insertions, which AlphaFold calls deletions, are those before a
/// column; those behind the last column belong to none and are dropped, as there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msa {
    columns: usize,
    letters: Vec<u8>,
    deletions: Vec<Deletion>,
    deletion_ends: Vec<usize>,
    descriptions: String,
    description_ends: Vec<usize>,
}

impl Msa {
    /// The alignment of a sequence with nothing but itself.
    pub fn single(sequence: &str, description: &str) -> Self {
        let mut msa = Self::empty(sequence.len());
        msa.letters.extend_from_slice(sequence.as_bytes());
        msa.close_row(description);
        msa
    }

    pub(crate) fn empty(columns: usize) -> Self {
        Self {
            columns,
            letters: Vec::new(),
            deletions: Vec::new(),
            deletion_ends: Vec::new(),
            descriptions: String::new(),
            description_ends: Vec::new(),
        }
    }

    /// The open row: its letters are pushed here, then [`Msa::close_row`] is called.
    pub(crate) fn letters_mut(&mut self) -> &mut Vec<u8> {
        &mut self.letters
    }

    pub(crate) fn push_deletion(&mut self, column: usize, count: u32) {
        self.deletions.push(Deletion { column: column as u32, count });
    }

    /// # Panics  if the open row does not have `columns` letters.
    pub(crate) fn close_row(&mut self, description: &str) {
        assert_eq!(self.letters.len(), (self.description_ends.len() + 1) * self.columns, "open row");
        self.descriptions.push_str(description);
        self.description_ends.push(self.descriptions.len());
        self.deletion_ends.push(self.deletions.len());
    }

    /// Number of rows, the query included.
    pub fn rows(&self) -> usize {
        self.description_ends.len()
    }

    /// Number of match columns: residues of the query.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The first row.
    pub fn query(&self) -> &[u8] {
        self.row(0)
    }

    /// Aligned letters of a row, `[columns]`.
    /// # Panics  if there is no such row.
    pub fn row(&self, row: usize) -> &[u8] {
        &self.letters[row * self.columns..(row + 1) * self.columns]
    }

    /// All letters, row after row, `[rows * columns]`.
    pub fn letters(&self) -> &[u8] {
        &self.letters
    }

    /// Header of a row without its `>`; in Stockholm files its name.
    /// # Panics  if there is no such row.
    pub fn description(&self, row: usize) -> &str {
        &self.descriptions[start(&self.description_ends, row)..self.description_ends[row]]
    }

    /// Insertions of a row, ascending by column; columns without any are not listed.
    /// # Panics  if there is no such row.
    pub fn deletions(&self, row: usize) -> &[Deletion] {
        &self.deletions[start(&self.deletion_ends, row)..self.deletion_ends[row]]
    }

    /// Row of AlphaFold's deletion matrix: insertions before each column, `[columns]`.
    /// # Panics  if there is no such row.
    pub fn deletion_row(&self, row: usize) -> Vec<u32> {
        let mut counts = vec![0; self.columns];
        for d in self.deletions(row) {
            counts[d.column as usize] = d.count;
        }
        counts
    }
}

fn start(ends: &[usize], row: usize) -> usize {
    if row == 0 { 0 } else { ends[row - 1] }
}
