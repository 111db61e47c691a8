//! The operands of the matrix product: A in place, B in panels.
//!
//! B is cut into panels of 32 columns, stored k-major, so that the inner kernel reads it in sequence.

use super::scratch::{keep, take};
use super::transpose::transpose;

/// Columns of a panel of packed B.
pub(super) const NR: usize = 32;

/// A row-major matrix in place: pointer to its first element and distance between rows.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
}

impl<'a> Mat<'a> {
    /// Rows start every `stride` elements of `data`.
    pub fn new(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride }
    }

    /// The matrix from row `row` on.
    pub fn from_row(&self, row: usize) -> Self {
        Self { data: &self.data[(row * self.stride).min(self.data.len())..], stride: self.stride }
    }

    pub(super) fn check(&self, rows: usize, columns: usize) {
        assert!(
            rows == 0 || (rows - 1) * self.stride + columns <= self.data.len(),
            "matrix of {rows} rows by {columns}, stride {}, does not fit {} elements",
            self.stride,
            self.data.len()
        );
    }
}

/// A distance between rows for a matrix of `columns` columns that will be read as A: 12 rows whose distance
/// is a multiple of 2 KiB would share a few sets of the first-level cache and drive each other out.
pub fn padded(columns: usize) -> usize {
    if columns >= 512 && columns.is_multiple_of(256) { columns + 16 } else { columns }
}

/// B of C = A·B, [k, n], in panels; its memory is scratch.
pub struct Packed {
    pub(super) data: Vec<f32>,
    k: usize,
    n: usize,
}

impl Drop for Packed {
    fn drop(&mut self) {
        keep(std::mem::take(&mut self.data));
    }
}

impl Packed {
    /// Empty; to be filled by `refill_*`, which keep the memory.
    pub fn empty() -> Self {
        Self { data: Vec::new(), k: 0, n: 0 }
    }

    /// From B as stored, `[k, n]`.
    pub fn from_kn(b: &[f32], k: usize, n: usize) -> Self {
        let mut p = Self::empty();
        p.refill_kn(Mat::new(b, n), k, n);
        p
    }

    /// From Bᵀ as stored, `[n, k]`: a linear layer's weight `[out, in]`.
    pub fn from_nk(b: &[f32], k: usize, n: usize) -> Self {
        let mut p = Self::empty();
        p.refill_nk(Mat::new(b, k), k, n);
        p
    }

    /// From several weights `[out, in]` of one input, one below the other.
    pub fn from_nk_list(parts: &[&[f32]], k: usize) -> Self {
        let mut p = Self::empty();
        let n = parts.iter().map(|part| part.len() / k.max(1)).sum();
        p.resize(k, n);
        let mut column = 0;
        for part in parts {
            let width = part.len() / k.max(1);
            p.pack_nk(Mat::new(part, k), column, width);
            column += width;
        }
        p
    }

    /// Columns of B.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Rows of B.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Columns from `start` on, a multiple of 32, at most `columns` of them.
    ///
    /// # Panics  if there are none or `start` is no multiple of 32.
    pub fn columns(&self, start: usize, columns: usize) -> Panels<'_> {
        assert!(start.is_multiple_of(NR) && start < self.n, "column {start} of {}", self.n);
        Panels { data: &self.data[start * self.k..], k: self.k, n: columns.min(self.n - start) }
    }

    fn resize(&mut self, k: usize, n: usize) {
        let len = n.div_ceil(NR) * NR * k;
        if self.data.len() < len {
            keep(std::mem::take(&mut self.data));
            self.data = take(len);
        }
        (self.k, self.n) = (k, n);
        if !n.is_multiple_of(NR) {
            // The last panel's columns beyond n are multiplied too, if to no effect: no NaN may be there.
            self.data[n / NR * NR * k..len].fill(0.0);
        }
    }

    /// Packs B `[k, n]`.
    pub fn refill_kn(&mut self, b: Mat<'_>, k: usize, n: usize) {
        b.check(k, n);
        self.resize(k, n);
        for (panel, out) in self.data.chunks_exact_mut(NR * k.max(1)).enumerate().take(n.div_ceil(NR)) {
            let width = NR.min(n - panel * NR);
            for (row, out) in out.chunks_exact_mut(NR).enumerate() {
                let at = row * b.stride + panel * NR;
                out[..width].copy_from_slice(&b.data[at..at + width]);
            }
        }
    }

    /// Packs Bᵀ `[n, k]`.
    pub fn refill_nk(&mut self, b: Mat<'_>, k: usize, n: usize) {
        b.check(n, k);
        self.resize(k, n);
        self.pack_nk(b, 0, n);
    }

    /// Packs Bᵀ `[columns, k]` as the columns from `first` on.
    fn pack_nk(&mut self, b: Mat<'_>, first: usize, columns: usize) {
        b.check(columns, self.k);
        let mut done = 0;
        while done < columns {
            let (panel, at) = ((first + done) / NR, (first + done) % NR);
            let width = (NR - at).min(columns - done);
            let out = &mut self.data[panel * NR * self.k + at..];
            transpose(&b.data[done * b.stride..], b.stride, width, self.k, out, NR);
            done += width;
        }
    }
}

/// Some columns of a packed B.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    pub(super) data: &'a [f32],
    pub(super) k: usize,
    pub(super) n: usize,
}

impl<'a> From<&'a Packed> for Panels<'a> {
    fn from(b: &'a Packed) -> Self {
        Self { data: &b.data, k: b.k, n: b.n }
    }
}
