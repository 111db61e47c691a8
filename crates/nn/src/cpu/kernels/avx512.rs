//! Register blocks with AVX-512: one function for each number of rows, and for two vectors of 16 columns or one.

use super::{Tile, WIDEST as NR};
use std::arch::x86_64::*;

/// Most rows of C in registers.
pub(in crate::cpu) const MR: usize = 12;

/// acc + a·b.
#[target_feature(enable = "avx512f")]
#[inline]
fn step_f32(acc: __m512, a: __m512, b: __m512) -> __m512 {
    _mm512_fmadd_ps(a, b, acc)
}

/// acc + a₀·b₀ + a₁·b₁ for the pairs in each lane.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
pub(in crate::cpu) fn step_bf16(acc: __m512, a: __m512, b: __m512) -> __m512 {
    // SAFETY: the same 512 bits under another name.
    unsafe {
        _mm512_dpbf16_ps(
            acc,
            std::mem::transmute::<__m512, __m512bh>(a),
            std::mem::transmute::<__m512, __m512bh>(b),
        )
    }
}

/// Functions for one number of rows. Every index into the accumulators is a literal: with loops over them the
/// compiler keeps them in memory, at half the speed.
macro_rules! block {
    ($features:literal $step:ident $wide:ident $narrow:ident $rows:literal: $($i:literal)*) => {
        #[target_feature(enable = $features)]
        unsafe fn $wide(t: &Tile) {
            let mut acc = [[_mm512_setzero_ps(); 2]; $rows];
            let (mut a, mut b, lda) = (t.a, t.b, t.a_stride);
            // SAFETY: B has depth × NR elements, A has as many rows, of at least `depth`.
            unsafe {
                for _ in 0..t.depth {
                    let (b0, b1) = (_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16)));
                    $(
                        let x = _mm512_set1_ps(*a.add($i * lda));
                        acc[$i][0] = $step(acc[$i][0], x, b0);
                        acc[$i][1] = $step(acc[$i][1], x, b1);
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

        #[target_feature(enable = $features)]
        unsafe fn $narrow(t: &Tile) {
            let mut acc = [_mm512_setzero_ps(); $rows];
            let (mut a, mut b, lda) = (t.a, t.b, t.a_stride);
            // SAFETY: as above.
            unsafe {
                for _ in 0..t.depth {
                    let b0 = _mm512_loadu_ps(b);
                    $(acc[$i] = $step(acc[$i], _mm512_set1_ps(*a.add($i * lda)), b0);)*
                    a = a.add(1);
                    b = b.add(NR);
                }
                $(store(t, $i, 0, acc[$i]);)*
            }
        }
    };
}

/// The functions for 1 to 12 rows of one kind of numbers, behind `tile`.
macro_rules! kernels {
    ($name:ident $features:literal $step:ident) => {
        pub(in crate::cpu) mod $name {
            use super::*;

            block!($features $step wide_1 narrow_1 1: 0);
            block!($features $step wide_2 narrow_2 2: 0 1);
            block!($features $step wide_3 narrow_3 3: 0 1 2);
            block!($features $step wide_4 narrow_4 4: 0 1 2 3);
            block!($features $step wide_5 narrow_5 5: 0 1 2 3 4);
            block!($features $step wide_6 narrow_6 6: 0 1 2 3 4 5);
            block!($features $step wide_7 narrow_7 7: 0 1 2 3 4 5 6);
            block!($features $step wide_8 narrow_8 8: 0 1 2 3 4 5 6 7);
            block!($features $step wide_9 narrow_9 9: 0 1 2 3 4 5 6 7 8);
            block!($features $step wide_10 narrow_10 10: 0 1 2 3 4 5 6 7 8 9);
            block!($features $step wide_11 narrow_11 11: 0 1 2 3 4 5 6 7 8 9 10);
            block!($features $step wide_12 narrow_12 12: 0 1 2 3 4 5 6 7 8 9 10 11);

            #[target_feature(enable = $features)]
            pub unsafe fn tile(t: &Tile) {
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
        }
    };
}

kernels!(f32 "avx512f" step_f32);
kernels!(bf16 "avx512f,avx512bf16" step_bf16);

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
