//! Register blocks with AVX2: of a panel of 32 columns, 6 × 16 of C are in 12 accumulators, or, where no more than 8
//! columns are left, 12 × 8. Sums run the same way in both, so that a column's do not depend on how many there are.

use super::{NR, Tile};
use std::arch::x86_64::*;

/// Most rows of C in registers.
pub(super) const MR: usize = 12;
/// Most of them with 16 columns.
const WIDE: usize = 6;

/// A function for one number of rows. Every index into the accumulators is a literal: with loops over them the
/// compiler keeps them in memory, at a fortieth of the speed.
macro_rules! wide {
    ($name:ident $rows:literal: $($i:literal)*) => {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(t: &Tile, row: usize, column: usize) {
            let mut acc = [[_mm256_setzero_ps(); 2]; $rows];
            let lda = t.a_stride;
            let (mut a, mut b) = (t.a.wrapping_add(row * lda), t.b.wrapping_add(column));
            // SAFETY: B has depth × NR elements, A has as many rows, of at least `depth`.
            unsafe {
                for _ in 0..t.depth {
                    let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                    $(
                        let x = _mm256_broadcast_ss(&*a.add($i * lda));
                        acc[$i][0] = _mm256_fmadd_ps(x, b0, acc[$i][0]);
                        acc[$i][1] = _mm256_fmadd_ps(x, b1, acc[$i][1]);
                    )*
                    a = a.wrapping_add(1);
                    b = b.wrapping_add(NR);
                }
                $(
                    store(t, row + $i, column, acc[$i][0]);
                    store(t, row + $i, column + 8, acc[$i][1]);
                )*
            }
        }
    };
}

/// As `wide`, for 8 columns.
macro_rules! narrow {
    ($name:ident $rows:literal: $($i:literal)*) => {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(t: &Tile, column: usize) {
            let mut acc = [_mm256_setzero_ps(); $rows];
            let (mut a, mut b, lda) = (t.a, t.b.wrapping_add(column), t.a_stride);
            // SAFETY: as above.
            unsafe {
                for _ in 0..t.depth {
                    let b0 = _mm256_loadu_ps(b);
                    $(acc[$i] = _mm256_fmadd_ps(_mm256_broadcast_ss(&*a.add($i * lda)), b0, acc[$i]);)*
                    a = a.wrapping_add(1);
                    b = b.wrapping_add(NR);
                }
                $(store(t, $i, column, acc[$i]);)*
            }
        }
    };
}

wide!(wide_1 1: 0);
wide!(wide_2 2: 0 1);
wide!(wide_3 3: 0 1 2);
wide!(wide_4 4: 0 1 2 3);
wide!(wide_5 5: 0 1 2 3 4);
wide!(wide_6 6: 0 1 2 3 4 5);
narrow!(narrow_1 1: 0);
narrow!(narrow_2 2: 0 1);
narrow!(narrow_3 3: 0 1 2);
narrow!(narrow_4 4: 0 1 2 3);
narrow!(narrow_5 5: 0 1 2 3 4);
narrow!(narrow_6 6: 0 1 2 3 4 5);
narrow!(narrow_7 7: 0 1 2 3 4 5 6);
narrow!(narrow_8 8: 0 1 2 3 4 5 6 7);
narrow!(narrow_9 9: 0 1 2 3 4 5 6 7 8);
narrow!(narrow_10 10: 0 1 2 3 4 5 6 7 8 9);
narrow!(narrow_11 11: 0 1 2 3 4 5 6 7 8 9 10);
narrow!(narrow_12 12: 0 1 2 3 4 5 6 7 8 9 10 11);

#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile(t: &Tile) {
    for column in (0..t.columns).step_by(16) {
        // SAFETY: as the caller's; a panel has all its columns, only C may have fewer.
        unsafe {
            if t.columns - column > 8 {
                for row in (0..t.rows).step_by(WIDE) {
                    match (t.rows - row).min(WIDE) {
                        1 => wide_1(t, row, column),
                        2 => wide_2(t, row, column),
                        3 => wide_3(t, row, column),
                        4 => wide_4(t, row, column),
                        5 => wide_5(t, row, column),
                        _ => wide_6(t, row, column),
                    }
                }
                continue;
            }
            match t.rows {
                1 => narrow_1(t, column),
                2 => narrow_2(t, column),
                3 => narrow_3(t, column),
                4 => narrow_4(t, column),
                5 => narrow_5(t, column),
                6 => narrow_6(t, column),
                7 => narrow_7(t, column),
                8 => narrow_8(t, column),
                9 => narrow_9(t, column),
                10 => narrow_10(t, column),
                11 => narrow_11(t, column),
                12 => narrow_12(t, column),
                _ => unreachable!("a tile has 1 to 12 rows"),
            }
        }
    }
}

/// Finishes 8 columns of one row of C from `column` on, or those that there are.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn store(t: &Tile, row: usize, column: usize, mut x: __m256) {
    let columns = (t.columns - column).min(8);
    // SAFETY: C has that many columns from here; bias is null or has them too.
    unsafe {
        let c = t.c.add(row * t.c_stride + column);
        if columns < 8 {
            return store_some(t, c, column, columns, x);
        }
        if t.accumulate {
            x = _mm256_add_ps(x, _mm256_loadu_ps(c));
        }
        if !t.bias.is_null() {
            x = _mm256_add_ps(x, _mm256_loadu_ps(t.bias.add(column)));
        }
        if t.relu {
            x = _mm256_max_ps(_mm256_setzero_ps(), x); // in this order NaN stays NaN
        }
        _mm256_storeu_ps(c, x);
    }
}

/// As [`store`] for less than 8 columns; one by one, as masked stores take longer on some machines.
#[target_feature(enable = "avx2,fma")]
unsafe fn store_some(t: &Tile, c: *mut f32, column: usize, columns: usize, x: __m256) {
    let mut values = [0f32; 8];
    // SAFETY: as the caller's.
    unsafe {
        _mm256_storeu_ps(values.as_mut_ptr(), x);
        for (i, mut v) in values.into_iter().enumerate().take(columns) {
            if t.accumulate {
                v += *c.add(i);
            }
            if !t.bias.is_null() {
                v += *t.bias.add(column + i);
            }
            *c.add(i) = if t.relu && v < 0.0 { 0.0 } else { v };
        }
    }
}
