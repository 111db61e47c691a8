//! The operands of the matrix product: A in place, B in panels.
//!
//! B is cut into panels of columns, as many as the machine's kernels take at a time, stored k-major, so that they are
//! read in sequence. In bf16 two numbers that follow each other in k stand in the place of one f32.

use super::kernels::{WIDEST, panel};
use super::number::{Number, pair_rows, pair_up};
use super::scratch::{keep, scratch, take};
use super::threads::{SharedMut, for_blocks};
use super::transpose::transpose;

/// A row-major matrix in place: pointer to its first element and distance between rows.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
    pub(super) number: Number,
}

impl<'a> Mat<'a> {
    /// Rows start every `stride` elements of `data`.
    pub fn new(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, number: Number::F32 }
    }

    /// As [`Mat::new`], of such numbers: in bf16 `data` holds pairs, and `stride` counts them.
    pub fn of(number: Number, data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, number }
    }

    /// The matrix from row `row` on.
    pub fn from_row(&self, row: usize) -> Self {
        Self { data: &self.data[(row * self.stride).min(self.data.len())..], ..*self }
    }

    pub(super) fn check(&self, rows: usize, columns: usize) {
        assert!(
            rows == 0 || (rows - 1) * self.stride + self.number.depth(columns) <= self.data.len(),
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
    number: Number,
    k: usize,
    n: usize,
}

impl Drop for Packed {
    fn drop(&mut self) {
        keep(std::mem::take(&mut self.data));
    }
}

impl Number {
    /// Empty; to be filled by `refill_*`, which keep the memory.
    pub fn empty(self) -> Packed {
        Packed { data: Vec::new(), number: self, k: 0, n: 0 }
    }

    /// From B as stored, `[k, n]`.
    pub fn pack_kn(self, b: &[f32], k: usize, n: usize) -> Packed {
        let mut p = self.empty();
        p.refill_kn(Mat::new(b, n), k, n);
        p
    }

    /// From Bᵀ as stored, `[n, k]`: a linear layer's weight `[out, in]`.
    pub fn pack_nk(self, b: &[f32], k: usize, n: usize) -> Packed {
        let mut p = self.empty();
        p.refill_nk(Mat::new(b, k), k, n);
        p
    }

    /// From several weights `[out, in]` of one input, one below the other.
    pub fn pack_nk_list(self, parts: &[&[f32]], k: usize) -> Packed {
        let mut p = self.empty();
        let n = parts.iter().map(|part| part.len() / k.max(1)).sum();
        p.resize(k, n);
        let mut column = 0;
        for part in parts {
            let width = part.len() / k.max(1);
            p.place_nk(Mat::new(part, k), column, width);
            column += width;
        }
        p
    }
}

/// Rows that are rounded at a time.
const ROUNDED: usize = 32;

impl Number {
    /// Rounds the rows of `columns` numbers that start every `stride` elements of `rows`, in place: an A that is
    /// multiplied more than once. In bf16 the pairs lie in the first half of each row.
    pub fn round_rows(self, rows: &mut [f32], stride: usize, columns: usize) -> Mat<'_> {
        if self == Number::Bf16 && columns > 0 {
            let share = SharedMut::new(rows);
            for_blocks(rows.len().div_ceil(stride), ROUNDED, |first, rows| {
                scratch(self.depth(columns), |pairs| {
                    for row in first..first + rows {
                        // SAFETY: blocks of rows are disjoint.
                        let row = unsafe { share.range(row * stride, columns) };
                        pair_up(row, pairs);
                        row[..pairs.len()].copy_from_slice(pairs);
                    }
                });
            });
        }
        Mat::of(self, rows, stride)
    }
}

impl Packed {
    /// Empty, of f32; to be filled by `refill_*`, which keep the memory.
    pub fn empty() -> Self {
        Number::F32.empty()
    }

    /// As [`Number::pack_kn`], of f32.
    pub fn from_kn(b: &[f32], k: usize, n: usize) -> Self {
        Number::F32.pack_kn(b, k, n)
    }

    /// As [`Number::pack_nk`], of f32.
    pub fn from_nk(b: &[f32], k: usize, n: usize) -> Self {
        Number::F32.pack_nk(b, k, n)
    }

    /// As [`Number::pack_nk_list`], of f32.
    pub fn from_nk_list(parts: &[&[f32]], k: usize) -> Self {
        Number::F32.pack_nk_list(parts, k)
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
        assert!(start.is_multiple_of(WIDEST) && start < self.n, "column {start} of {}", self.n);
        let data = &self.data[start * self.depth()..];
        Panels { data, n: columns.min(self.n - start), ..self.into() }
    }

    /// What its numbers are rounded to.
    pub fn number(&self) -> Number {
        self.number
    }

    /// Rows as stored: pairs of them in bf16.
    fn depth(&self) -> usize {
        self.number.depth(self.k)
    }

    fn resize(&mut self, k: usize, n: usize) {
        (self.k, self.n) = (k, n);
        let (depth, panel) = (self.depth(), panel());
        let len = n.next_multiple_of(panel) * depth;
        if self.data.len() < len {
            keep(std::mem::take(&mut self.data));
            self.data = take(len);
        }
        if !n.is_multiple_of(panel) {
            // The last panel's columns beyond n are multiplied too, if to no effect: no NaN may be there.
            self.data[n / panel * panel * depth..len].fill(0.0);
        }
    }

    /// Packs B `[k, n]`.
    pub fn refill_kn(&mut self, b: Mat<'_>, k: usize, n: usize) {
        b.check(k, n);
        self.resize(k, n);
        let (number, depth, panel) = (self.number, self.depth(), panel());
        for (first, out) in (0..n).step_by(panel).zip(self.data.chunks_exact_mut(panel * depth.max(1))) {
            let width = panel.min(n - first);
            let row = |row: usize| &b.data[row * b.stride + first..][..width];
            for (i, out) in out.chunks_exact_mut(panel).enumerate() {
                match number {
                    Number::F32 => out[..width].copy_from_slice(row(i)),
                    Number::Bf16 if 2 * i + 1 < k => pair_rows(row(2 * i), row(2 * i + 1), &mut out[..width]),
                    Number::Bf16 => pair_rows(row(2 * i), &[0.0; WIDEST][..width], &mut out[..width]),
                }
            }
        }
    }

    /// Packs Bᵀ `[n, k]`.
    pub fn refill_nk(&mut self, b: Mat<'_>, k: usize, n: usize) {
        b.check(n, k);
        self.resize(k, n);
        self.place_nk(b, 0, n);
    }

    /// Packs Bᵀ `[columns, k]` as the columns from `first` on.
    fn place_nk(&mut self, b: Mat<'_>, first: usize, columns: usize) {
        b.check(columns, self.k);
        let (k, depth, panel) = (self.k, self.depth(), panel());
        let mut done = 0;
        while done < columns {
            let (whole, at) = ((first + done) / panel * panel, (first + done) % panel);
            let width = (panel - at).min(columns - done);
            let out = &mut self.data[whole * depth + at..];
            let from = &b.data[(done * b.stride).min(b.data.len())..];
            match self.number {
                Number::F32 => transpose(from, b.stride, width, k, out, panel),
                // A row's pairs are numbers like others to be turned.
                Number::Bf16 => scratch(width * depth, |pairs| {
                    for (i, pairs) in pairs.chunks_exact_mut(depth.max(1)).enumerate() {
                        pair_up(&from[i * b.stride..][..k], pairs);
                    }
                    transpose(pairs, depth, width, depth, out, panel);
                }),
            }
            done += width;
        }
    }
}

/// Some columns of a packed B.
#[derive(Clone, Copy)]
pub struct Panels<'a> {
    pub(super) data: &'a [f32],
    pub(super) number: Number,
    pub(super) k: usize,
    pub(super) n: usize,
}

impl<'a> From<&'a Packed> for Panels<'a> {
    fn from(b: &'a Packed) -> Self {
        Self { data: &b.data, number: b.number, k: b.k, n: b.n }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gemm::{Finish, gemm};
    use super::*;

    #[test]
    fn rows_rounded_at_once_are_those_rounded_by_each_product() {
        let number = Number::bf16_if_fast();
        for (rows, k, n) in [(1usize, 1usize, 5usize), (3, 7, 33), (70, 64, 9), (41, 130, 40)] {
            let stride = k + 3;
            let mut a: Vec<f32> = (0..rows * stride).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i as f32 * 0.91).cos()).collect();
            let b = number.pack_kn(&b, k, n);
            let (mut want, mut got) = (vec![0.0; rows * n], vec![f32::NAN; rows * n]);
            gemm(Mat::new(&a, stride), rows, &b, &mut want, n, Finish::default());
            gemm(number.round_rows(&mut a, stride, k), rows, &b, &mut got, n, Finish::default());
            assert_eq!(got, want, "{rows} rows of {k}");
        }
    }
}
