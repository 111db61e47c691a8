//! f32 matrix product C = A·B with B packed once: the one hot loop of the network.
//!
//! B is cut into panels of 32 columns, stored k-major, so that the inner kernel reads it in sequence.
//! A is read in place (its rows must be contiguous). The kernel keeps 12 × 32 of C in registers:
//! with AVX-512 that is 24 accumulators, and each step of k does 24 fused multiply-adds on 14 loads.

use super::level::{Level, level};
use super::scratch::{keep, take};
use super::threads::{SharedMut, for_blocks};
use super::transpose::transpose;

/// Columns of a panel of packed B.
const NR: usize = 32;
/// Rows of C in registers (AVX-512).
const MR: usize = 12;
/// Rows of A that pass over B together.
const MC: usize = 96;
/// Depth of one pass: a panel slice of 512 × 32 floats stays in the L2 cache.
const KC: usize = 512;

/// A row-major matrix in place: pointer to its first element and distance between rows.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    data: &'a [f32],
    stride: usize,
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

    fn check(&self, rows: usize, columns: usize) {
        assert!(
            rows == 0 || (rows - 1) * self.stride + columns <= self.data.len(),
            "matrix of {rows} rows by {columns}, stride {}, does not fit {} elements",
            self.stride,
            self.data.len()
        );
    }
}

/// What happens to a finished element of C.
#[derive(Clone, Copy, Default)]
pub struct Finish<'a> {
    /// Added to each row; empty for none.
    pub bias: &'a [f32],
    /// max(·, 0) after the bias.
    pub relu: bool,
    /// Add to what C holds.
    pub accumulate: bool,
}

/// A distance between rows for a matrix of `columns` columns that will be read as A: 12 rows whose distance
/// is a multiple of 2 KiB would share a few sets of the first-level cache and drive each other out.
pub fn padded(columns: usize) -> usize {
    if columns >= 512 && columns.is_multiple_of(256) { columns + 16 } else { columns }
}

/// B of C = A·B, [k, n], in panels; its memory is scratch.
pub struct Packed {
    data: Vec<f32>,
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
    data: &'a [f32],
    k: usize,
    n: usize,
}

impl<'a> From<&'a Packed> for Panels<'a> {
    fn from(b: &'a Packed) -> Self {
        Self { data: &b.data, k: b.k, n: b.n }
    }
}

/// C[0..m, 0..n] = A[0..m, 0..k]·B on this thread; rows of C start every `c_stride` elements of `c`.
///
/// # Panics  if A or C are too small.
pub fn gemm<'b>(
    a: Mat<'_>,
    m: usize,
    b: impl Into<Panels<'b>>,
    c: &mut [f32],
    c_stride: usize,
    finish: Finish<'_>,
) {
    product(a, m, b.into(), c, c_stride, finish);
}

fn product(a: Mat<'_>, m: usize, b: Panels<'_>, c: &mut [f32], c_stride: usize, finish: Finish<'_>) {
    a.check(m, b.k);
    Mat::new(c, c_stride).check(m, b.n);
    assert!(finish.bias.is_empty() || finish.bias.len() == b.n, "bias of the wrong length");
    let kernel: Kernel = match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => x86::avx512,
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => x86::avx2,
        _ => plain,
    };
    let rows = if level() == Level::Avx512 { MR } else { PLAIN_MR };
    assert!(b.n.div_ceil(NR) * NR * b.k <= b.data.len(), "packed columns missing");
    for k0 in (0..b.k.max(1)).step_by(KC) {
        let depth = KC.min(b.k - k0);
        let last = k0 + depth == b.k;
        // A chunk of A stays in the L2 cache while every panel of B passes over it once.
        let tiles = (0..m).step_by(MC).flat_map(|chunk| {
            let end = m.min(chunk + MC);
            (0..b.n.div_ceil(NR))
                .flat_map(move |panel| (chunk..end).step_by(rows).map(move |row| (panel, row, end)))
        });
        for (panel, row, end) in tiles {
            let columns = NR.min(b.n - panel * NR);
            let bias = if last && !finish.bias.is_empty() {
                finish.bias[panel * NR..].as_ptr()
            } else {
                std::ptr::null()
            };
            let tile = Tile {
                rows: rows.min(end - row),
                columns,
                depth,
                a: a.data[(row * a.stride + k0).min(a.data.len())..].as_ptr(),
                a_stride: a.stride,
                b: b.data[(panel * b.k + k0) * NR..].as_ptr(),
                c: c[row * c_stride + panel * NR..].as_mut_ptr(),
                c_stride,
                bias,
                relu: last && finish.relu,
                accumulate: finish.accumulate || k0 > 0,
            };
            // SAFETY: the checks above cover all rows and columns of A, B and C that the tile names,
            // and the kernel is of a level this machine has.
            unsafe { kernel(&tile) };
        }
    }
}

/// As [`gemm`], rows over all threads.
pub fn gemm_parallel(a: Mat<'_>, m: usize, b: &Packed, c: &mut [f32], c_stride: usize, finish: Finish<'_>) {
    a.check(m, b.k);
    Mat::new(c, c_stride).check(m, b.n);
    if m == 0 || b.n == 0 {
        return;
    }
    let shared = SharedMut::new(c);
    for_blocks(m, 2 * MC, |row, rows| {
        let len = (rows - 1) * c_stride + b.n;
        // SAFETY: blocks of rows are disjoint while b.n ≤ c_stride.
        let c = unsafe { shared.range(row * c_stride, len) };
        gemm(a.from_row(row), rows, b, c, c_stride, finish);
    });
}

type Kernel = unsafe fn(&Tile);

/// One register block: C[rows ≤ MR, columns ≤ NR] over `depth` steps of k.
struct Tile {
    rows: usize,
    columns: usize,
    depth: usize,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    c: *mut f32,
    c_stride: usize,
    bias: *const f32,
    relu: bool,
    accumulate: bool,
}

/// Rows in registers of the portable kernel: 3 × 32 floats are 12 AVX2 or 24 NEON registers.
const PLAIN_MR: usize = 3;

unsafe fn plain(tile: &Tile) {
    // SAFETY: as the caller's.
    unsafe { portable::<{ cfg!(target_arch = "aarch64") }>(tile) }
}

#[inline(always)]
unsafe fn portable<const FMA: bool>(t: &Tile) {
    let mut acc = [[0f32; NR]; PLAIN_MR];
    for p in 0..t.depth {
        // SAFETY: B has depth × NR elements from here, A has `rows` rows of at least `depth`.
        let b = unsafe { &*t.b.add(p * NR).cast::<[f32; NR]>() };
        for (i, acc) in acc.iter_mut().enumerate() {
            let row = if i < t.rows { i } else { 0 };
            let a = unsafe { *t.a.add(row * t.a_stride + p) };
            for j in 0..NR {
                acc[j] = if FMA { a.mul_add(b[j], acc[j]) } else { acc[j] + a * b[j] };
            }
        }
    }
    for (i, acc) in acc.iter().enumerate().take(t.rows) {
        for (j, &value) in acc.iter().enumerate().take(t.columns) {
            // SAFETY: C has `rows` rows of at least `columns`; bias is null or has `columns` elements.
            unsafe {
                let c = t.c.add(i * t.c_stride + j);
                let mut v = if t.accumulate { *c + value } else { value };
                if !t.bias.is_null() {
                    v += *t.bias.add(j);
                }
                *c = if t.relu && v < 0.0 { 0.0 } else { v };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{NR, Tile, portable};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2(tile: &Tile) {
        // SAFETY: as the caller's.
        unsafe { portable::<true>(tile) }
    }

    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512(t: &Tile) {
        // SAFETY: as the caller's.
        unsafe {
            match (t.rows, t.columns > 16) {
                (1, true) => wide_1(t),
                (2, true) => wide_2(t),
                (3, true) => wide_3(t),
                (4, true) => wide_4(t),
                (5, true) => wide_5(t),
                (6, true) => wide_6(t),
                (7, true) => wide_7(t),
                (8, true) => wide_8(t),
                (9, true) => wide_9(t),
                (10, true) => wide_10(t),
                (11, true) => wide_11(t),
                (12, true) => wide_12(t),
                (1, false) => narrow_1(t),
                (2, false) => narrow_2(t),
                (3, false) => narrow_3(t),
                (4, false) => narrow_4(t),
                (5, false) => narrow_5(t),
                (6, false) => narrow_6(t),
                (7, false) => narrow_7(t),
                (8, false) => narrow_8(t),
                (9, false) => narrow_9(t),
                (10, false) => narrow_10(t),
                (11, false) => narrow_11(t),
                (12, false) => narrow_12(t),
                _ => unreachable!("a tile has 1 to 12 rows"),
            }
        }
    }

    /// Functions for one number of rows: two vectors of 16 columns, or one. Every index into the
    /// accumulators is a literal: with loops over them the compiler keeps them in memory, at half the speed.
    macro_rules! block {
        ($wide:ident, $narrow:ident, $rows:literal: $($i:literal)*) => {
            #[target_feature(enable = "avx512f")]
            unsafe fn $wide(t: &Tile) {
                let mut acc = [[_mm512_setzero_ps(); 2]; $rows];
                let (mut a, mut b, lda) = (t.a, t.b, t.a_stride);
                // SAFETY: B has depth × NR elements, A has as many rows, of at least `depth`.
                unsafe {
                    for _ in 0..t.depth {
                        let (b0, b1) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
                        $(
                            let x = _mm512_set1_ps(*a.add($i * lda));
                            acc[$i][0] = _mm512_fmadd_ps(x, b0, acc[$i][0]);
                            acc[$i][1] = _mm512_fmadd_ps(x, b1, acc[$i][1]);
                        )*
                        a = a.add(1);
                        b = b.add(NR);
                    }
                    $(
                        store(t, $i, 0, acc[$i][0]);
                        store(t, $i, 16, acc[$i][1]);
                    )*
                }
            }

            #[target_feature(enable = "avx512f")]
            unsafe fn $narrow(t: &Tile) {
                let mut acc = [_mm512_setzero_ps(); $rows];
                let (mut a, mut b, lda) = (t.a, t.b, t.a_stride);
                // SAFETY: as above.
                unsafe {
                    for _ in 0..t.depth {
                        let b0 = _mm512_loadu_ps(b);
                        $(acc[$i] = _mm512_fmadd_ps(_mm512_set1_ps(*a.add($i * lda)), b0, acc[$i]);)*
                        a = a.add(1);
                        b = b.add(NR);
                    }
                    $(store(t, $i, 0, acc[$i]);)*
                }
            }
        };
    }

    block!(wide_1, narrow_1, 1: 0);
    block!(wide_2, narrow_2, 2: 0 1);
    block!(wide_3, narrow_3, 3: 0 1 2);
    block!(wide_4, narrow_4, 4: 0 1 2 3);
    block!(wide_5, narrow_5, 5: 0 1 2 3 4);
    block!(wide_6, narrow_6, 6: 0 1 2 3 4 5);
    block!(wide_7, narrow_7, 7: 0 1 2 3 4 5 6);
    block!(wide_8, narrow_8, 8: 0 1 2 3 4 5 6 7);
    block!(wide_9, narrow_9, 9: 0 1 2 3 4 5 6 7 8);
    block!(wide_10, narrow_10, 10: 0 1 2 3 4 5 6 7 8 9);
    block!(wide_11, narrow_11, 11: 0 1 2 3 4 5 6 7 8 9 10);
    block!(wide_12, narrow_12, 12: 0 1 2 3 4 5 6 7 8 9 10 11);

    /// Finishes 16 columns of one row of C from `column` on.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn store(t: &Tile, row: usize, column: usize, mut x: __m512) {
        let columns = (t.columns - column).min(16);
        let mask = ((1u32 << columns) - 1) as __mmask16;
        // SAFETY: masked to the columns that exist; bias is null or has them too.
        unsafe {
            let c = t.c.add(row * t.c_stride + column);
            if t.accumulate {
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, c));
            }
            if !t.bias.is_null() {
                x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(mask, t.bias.add(column)));
            }
            if t.relu {
                x = _mm512_max_ps(x, _mm512_setzero_ps());
            }
            _mm512_mask_storeu_ps(c, mask, x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, seed: u32) -> Vec<f32> {
        let mut s = seed;
        (0..n)
            .map(|_| {
                s = s.wrapping_mul(1664525).wrapping_add(1013904223);
                (s >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect()
    }

    #[test]
    fn agrees_with_f64_at_odd_sizes() {
        for (m, k, n) in [(1, 1, 1), (13, 7, 33), (12, 520, 16), (25, 64, 31), (3, 1030, 70), (200, 5, 9)] {
            let (a, b) = (noise(m * (k + 3), 1), noise(k * n, 2));
            let bias = noise(n, 3);
            let bt: Vec<f32> = (0..n * k).map(|i| b[(i % k) * n + i / k]).collect();
            for packed in [Packed::from_kn(&b, k, n), Packed::from_nk(&bt, k, n)] {
                let stride = n + 2;
                let mut c = vec![0.25; m * stride];
                let finish = Finish { bias: &bias, relu: true, accumulate: true };
                gemm_parallel(Mat::new(&a, k + 3), m, &packed, &mut c, stride, finish);
                for i in 0..m {
                    for j in 0..n {
                        let want: f64 = (0..k).map(|p| a[i * (k + 3) + p] as f64 * b[p * n + j] as f64).sum();
                        let want = (want + 0.25 + bias[j] as f64).max(0.0);
                        let got = c[i * stride + j] as f64;
                        assert!((got - want).abs() < 1e-4, "{m}x{k}x{n} at {i},{j}: {got} {want}");
                    }
                    // The gap between rows is left alone.
                    assert!(i + 1 == m || c[i * stride + n..(i + 1) * stride].iter().all(|&v| v == 0.25));
                }
            }
        }
    }

    #[test]
    fn portable_kernels_agree() {
        let (m, k, n) = (3, 29, 31);
        let (a, b) = (noise(m * k, 5), noise(k * n, 6));
        let packed = Packed::from_kn(&b, k, n);
        let run = |kernel: Kernel| {
            let mut c = vec![0.0; m * n];
            let tile = Tile {
                rows: m,
                columns: n,
                depth: k,
                a: a.as_ptr(),
                a_stride: k,
                b: packed.data.as_ptr(),
                c: c.as_mut_ptr(),
                c_stride: n,
                bias: std::ptr::null(),
                relu: false,
                accumulate: false,
            };
            // SAFETY: the tile covers exactly these buffers; plain code runs everywhere.
            unsafe { kernel(&tile) };
            c
        };
        let mut best = vec![0.0; m * n];
        gemm(Mat::new(&a, k), m, &packed, &mut best, n, Finish::default());
        for (x, y) in run(plain).iter().zip(&best) {
            assert!((x - y).abs() < 1e-5);
        }
    }
}
