//! One head and up to 32 queries of bf16, with AVX-512.

use super::super::kernels::step_bf16;
use super::super::softmax::{COARSE, power_of_two};
use super::block::{divide, logits};
use super::{Block, D};
use std::arch::x86_64::*;

/// A logit whose power is 0 beside any other, finite.
const NO_WEIGHT: f32 = -1e38;

/// Which of 32 numbers, first 16 of one vector and then of another, make pairs of both.
const PAIRS: [u16; 32] = {
    let mut at = [0; 32];
    let mut i = 0;
    while i < 32 {
        at[i] = (i / 2 + i % 2 * 16) as u16;
        i += 1;
    }
    at
};

/// 16 queries, or 32.
///
/// # Safety  as `Block` says; the machine has the instructions.
pub(super) unsafe fn attend<const N: usize>(b: &Block<'_>) {
    // SAFETY: as the caller's.
    unsafe { if N == 1 { of_vectors::<1, 16>(b) } else { of_vectors::<2, 32>(b) } }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn of_vectors<const N: usize, const W: usize>(b: &Block<'_>) {
    // SAFETY: as the caller's.
    unsafe {
        let pairs = _mm512_loadu_si512(PAIRS.as_ptr().cast());
        let max = logits::<__m512, N, W, 4>(b, 0, |sum, k, q| step_bf16(sum, k, q));
        let mut acc = [[_mm512_setzero_ps(); N]; D];
        let mut sum = [_mm512_setzero_ps(); N];
        let keys = b.mask.len();
        if keys % 2 == 1 {
            // An odd one out is paired with one of no weight.
            for i in 0..N {
                _mm512_storeu_ps(b.logits.add(keys * W + i * 16), _mm512_set1_ps(NO_WEIGHT));
            }
        }
        for key in (0..keys).step_by(2) {
            let mut p = [_mm512_setzero_ps(); N];
            for i in 0..N {
                let power = |key: usize| {
                    let x = _mm512_loadu_ps(b.logits.add(key * W + i * 16));
                    power_of_two(_mm512_sub_ps(x, max[i]), &COARSE)
                };
                let (low, high) = (power(key), power(key + 1));
                sum[i] = _mm512_add_ps(sum[i], _mm512_add_ps(low, high));
                let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                p[i] = _mm512_castsi512_ps(_mm512_permutexvar_epi16(pairs, both));
            }
            for c in 0..D {
                let v = _mm512_set1_ps(*b.v.add(key / 2 * D + c));
                for i in 0..N {
                    acc[c][i] = step_bf16(acc[c][i], v, p[i]);
                }
            }
        }
        divide::<__m512, N, W>(b, 0, &acc, &sum);
    }
}
