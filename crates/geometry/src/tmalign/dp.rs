//! Dynamic programming of TM-align: global, end gaps free, one penalty for opening a gap and none for length.
//! A gap is open when the cell before was a match; only that one cell is remembered, as in the program.

use crate::rigid::Rigid;
use nalgebra::Vector3;

/// Residue of the first chain that each residue of the second is aligned to.
pub(super) type Map = Vec<Option<usize>>;

/// Pair scores and the tables of the recursion, kept to be reused. f32, as in the program.
pub(super) struct Programming {
    rows: usize,
    columns: usize,
    /// [columns][rows] score of aligning row i of the first chain to column j of the second.
    score: Vec<f32>,
    /// [columns + 1][rows + 1] best sums, and whether the cell is a match.
    value: Vec<f32>,
    matched: Vec<bool>,
}

impl Programming {
    pub fn new(rows: usize, columns: usize) -> Self {
        let cells = (rows + 1) * (columns + 1);
        let score = vec![0.0; rows * columns];
        Programming { rows, columns, score, value: vec![0.0; cells], matched: vec![false; cells] }
    }

    /// Scores 1/(1 + (d/d0)²) of all pairs after the first chain's `motion`.
    pub fn fill(&mut self, x: &[Vector3<f64>], y: &[Vector3<f64>], motion: &Rigid, d0: f64) {
        let moved: Vec<_> = x.iter().map(|v| motion.apply(*v)).collect();
        let squared = d0 * d0;
        for (column, b) in self.score.chunks_exact_mut(self.rows).zip(y) {
            for (cell, a) in column.iter_mut().zip(&moved) {
                *cell = (1.0 / (1.0 + (a - b).norm_squared() / squared)) as f32;
            }
        }
    }

    /// Sets or changes every score by `f(i, j, score)`.
    pub fn map(&mut self, f: impl Fn(usize, usize, f32) -> f32) {
        for (j, column) in self.score.chunks_exact_mut(self.rows).enumerate() {
            for (i, cell) in column.iter_mut().enumerate() {
                *cell = f(i, j, *cell);
            }
        }
    }

    /// The best alignment by the scores.
    pub fn align(&mut self, gap: f32) -> Map {
        let width = self.rows + 1;
        for j in 0..self.columns {
            let (above, here) = self.value[j * width..(j + 2) * width].split_at_mut(width);
            let (above_matched, here_matched) = self.matched[j * width..(j + 2) * width].split_at_mut(width);
            let scores = &self.score[j * self.rows..(j + 1) * self.rows];
            for i in 0..self.rows {
                let diagonal = above[i] + scores[i];
                let skip_row = here[i] + if here_matched[i] { gap } else { 0.0 };
                let skip_column = above[i + 1] + if above_matched[i + 1] { gap } else { 0.0 };
                here_matched[i + 1] = diagonal >= skip_row && diagonal >= skip_column;
                here[i + 1] = if here_matched[i + 1] { diagonal } else { skip_row.max(skip_column) };
            }
        }
        let mut map = vec![None; self.columns];
        let (mut i, mut j) = (self.rows, self.columns);
        let cost = |k: usize| self.value[k] + if self.matched[k] { gap } else { 0.0 };
        while i > 0 && j > 0 {
            if self.matched[j * width + i] {
                map[j - 1] = Some(i - 1);
                (i, j) = (i - 1, j - 1);
            } else if cost((j - 1) * width + i) >= cost(j * width + i - 1) {
                j -= 1;
            } else {
                i -= 1;
            }
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(a: &[u8], b: &[u8]) -> Programming {
        let mut table = Programming::new(a.len(), b.len());
        table.map(|i, j, _| f32::from(u8::from(a[i] == b[j])));
        table
    }

    #[test]
    fn insertions_are_skipped() {
        let map = letters(b"HHHHEEEE", b"HHHHCCCEEEE").align(-0.6);
        let expected: Vec<Option<usize>> =
            (0..4).map(Some).chain([None; 3]).chain((4..8).map(Some)).collect();
        assert_eq!(map, expected);
    }

    #[test]
    fn a_gap_must_pay_for_itself() {
        let costly = letters(b"AAAABB", b"AAAACBB").align(-5.0);
        assert_eq!(costly, [None, Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)]);
        let cheap = letters(b"AAAABB", b"AAAACBB").align(0.0);
        assert_eq!(cheap[4..], [None, Some(4), Some(5)]);
    }
}
