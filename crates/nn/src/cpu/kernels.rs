//! The innermost loops of the matrix product: one block of C in registers. With AVX-512 12 × 32 of C are 24
//! accumulators, and each step of k does 24 fused multiply-adds on 14 loads.

use super::packed::NR;

/// Rows of C in registers (AVX-512).
pub(super) const MR: usize = 12;

pub(super) type Kernel = unsafe fn(&Tile);

/// One register block: C[rows ≤ MR, columns ≤ NR] over `depth` steps of k.
pub(super) struct Tile {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub a: *const f32,
    pub a_stride: usize,
    pub b: *const f32,
    pub c: *mut f32,
    pub c_stride: usize,
    pub bias: *const f32,
    pub relu: bool,
    pub accumulate: bool,
}

/// Rows in registers of the portable kernel: 3 × 32 floats are 12 AVX2 or 24 NEON registers.
pub(super) const PLAIN_MR: usize = 3;

pub(super) unsafe fn plain(tile: &Tile) {
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
pub(super) mod x86 {
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
