//! Register blocks with AVX2: half of a panel at a time, 6 × 16 of C in 12 accumulators, or, where no more than 8 columns
//! are left, 12 × 8. Sums run the same way in both, so that a column's do not depend on how many there are.

use super::{NR, Tile};
use std::arch::x86_64::*;

/// Most rows of C in registers.
pub(super) const MR: usize = 12;
/// Most columns.
pub(super) const COLUMNS: usize = 16;
/// Most rows where there are more than 8 columns.
const WIDE: usize = 6;

/// A function for one number of rows. Every index into the accumulators is a literal: with loops over them the
/// compiler keeps them in memory, at a fortieth of the speed.
macro_rules! wide {
    ($name:ident $rows:literal: $($i:literal)*) => {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(t: &Tile, row: usize) {
            let mut acc = [[_mm256_setzero_ps(); 2]; $rows];
            let lda = t.a_stride;
            let (mut a, mut b) = (t.a.wrapping_add(row * lda), t.b);
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
                if t.columns < 16 {
                    let mut values = [[0f32; 16]; $rows];
                    $(
                        _mm256_storeu_ps(values[$i].as_mut_ptr(), acc[$i][0]);
                        _mm256_storeu_ps(values[$i].as_mut_ptr().add(8), acc[$i][1]);
                    )*
                    return store_some(t, row, &values);
                }
                let (bias, low) = (bias::<2>(t), lowest(t));
                $(
                    let c = t.c.add((row + $i) * t.c_stride);
                    let mut x = [_mm256_add_ps(acc[$i][0], bias[0]), _mm256_add_ps(acc[$i][1], bias[1])];
                    if t.accumulate {
                        x[0] = _mm256_add_ps(x[0], _mm256_loadu_ps(c));
                        x[1] = _mm256_add_ps(x[1], _mm256_loadu_ps(c.add(8)));
                    }
                    // In this order NaN stays NaN.
                    _mm256_storeu_ps(c, _mm256_max_ps(low, x[0]));
                    _mm256_storeu_ps(c.add(8), _mm256_max_ps(low, x[1]));
                )*
            }
        }
    };
}

/// As `wide`, for 8 columns.
macro_rules! narrow {
    ($name:ident $rows:literal: $($i:literal)*) => {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn $name(t: &Tile) {
            let mut acc = [_mm256_setzero_ps(); $rows];
            let (mut a, mut b, lda) = (t.a, t.b, t.a_stride);
            // SAFETY: as above.
            unsafe {
                for _ in 0..t.depth {
                    let b0 = _mm256_loadu_ps(b);
                    $(acc[$i] = _mm256_fmadd_ps(_mm256_broadcast_ss(&*a.add($i * lda)), b0, acc[$i]);)*
                    a = a.wrapping_add(1);
                    b = b.wrapping_add(NR);
                }
                if t.columns < 8 {
                    let mut values = [[0f32; 8]; $rows];
                    $(_mm256_storeu_ps(values[$i].as_mut_ptr(), acc[$i]);)*
                    return store_some(t, 0, &values);
                }
                let ([bias], low) = (bias::<1>(t), lowest(t));
                $(
                    let c = t.c.add($i * t.c_stride);
                    let mut x = _mm256_add_ps(acc[$i], bias);
                    if t.accumulate {
                        x = _mm256_add_ps(x, _mm256_loadu_ps(c));
                    }
                    _mm256_storeu_ps(c, _mm256_max_ps(low, x));
                )*
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
    // SAFETY: as the caller's; a panel has all its columns, only C may have fewer.
    unsafe {
        if t.columns > 8 {
            for row in (0..t.rows).step_by(WIDE) {
                match (t.rows - row).min(WIDE) {
                    1 => wide_1(t, row),
                    2 => wide_2(t, row),
                    3 => wide_3(t, row),
                    4 => wide_4(t, row),
                    5 => wide_5(t, row),
                    _ => wide_6(t, row),
                }
            }
            return;
        }
        match t.rows {
            1 => narrow_1(t),
            2 => narrow_2(t),
            3 => narrow_3(t),
            4 => narrow_4(t),
            5 => narrow_5(t),
            6 => narrow_6(t),
            7 => narrow_7(t),
            8 => narrow_8(t),
            9 => narrow_9(t),
            10 => narrow_10(t),
            11 => narrow_11(t),
            12 => narrow_12(t),
            _ => unreachable!("a tile has 1 to 12 rows"),
        }
    }
}

/// The bias of the columns, or 0.
#[target_feature(enable = "avx2,fma")]
#[inline]
unsafe fn bias<const N: usize>(t: &Tile) -> [__m256; N] {
    let mut bias = [_mm256_setzero_ps(); N];
    if !t.bias.is_null() {
        for (i, bias) in bias.iter_mut().enumerate() {
            // SAFETY: the bias has as many columns as C, which has all of these.
            *bias = unsafe { _mm256_loadu_ps(t.bias.add(8 * i)) };
        }
    }
    bias
}

/// What no element of C may be below.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn lowest(t: &Tile) -> __m256 {
    _mm256_set1_ps(if t.relu { 0.0 } else { f32::NEG_INFINITY })
}

/// Finishes rows of C from `row` on that have fewer columns than were computed; one by one, as masked stores take longer
/// on some machines.
unsafe fn store_some<const N: usize>(t: &Tile, row: usize, values: &[[f32; N]]) {
    for (i, values) in values.iter().enumerate() {
        for (j, &value) in values.iter().enumerate().take(t.columns) {
            // SAFETY: C has these rows and columns; bias is null or has the columns too.
            unsafe {
                let c = t.c.add((row + i) * t.c_stride + j);
                let bias = if t.bias.is_null() { 0.0 } else { *t.bias.add(j) };
                let v = value + bias + if t.accumulate { *c } else { 0.0 };
                *c = if t.relu && v < 0.0 { 0.0 } else { v };
            }
        }
    }
}
