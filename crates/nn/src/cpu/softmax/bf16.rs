//! Softmax with results in bf16, with AVX-512.

use super::super::lanes::{by_32, lanes};
use super::{COARSE, exp, finish_logits};
use std::arch::x86_64::*;

/// # Safety  as [`super::softmax`]; the machine has the instructions.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn softmax(logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
    // SAFETY: as the caller's.
    let max = unsafe { finish_logits::<__m512>(logits, scale, bias, mask) };
    powers(logits, max)
}

/// Powers in place of `x`, rounded to bf16, in pairs in the first half of `x`; 1 over their sum.
#[target_feature(enable = "avx512f,avx512bf16")]
fn powers(x: &mut [f32], max: f32) -> f32 {
    let (n, x) = (x.len(), x.as_mut_ptr());
    let (max, mut sum) = (_mm512_set1_ps(max), _mm512_setzero_ps());
    by_32(n, |at, some| {
        // SAFETY: lanes beyond the end are neither read nor written; what is written lies before what is
        // still to be read.
        unsafe {
            let half = |i: usize| {
                let v = _mm512_maskz_loadu_ps(some[i], x.wrapping_add(at + 16 * i));
                _mm512_maskz_mov_ps(some[i], exp(_mm512_sub_ps(v, max), &COARSE))
            };
            let (low, high) = (half(0), half(1));
            sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
            let both = std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low));
            let pairs = if some[1] == !0 { !0 } else { lanes(n.div_ceil(2), at / 2) };
            _mm512_mask_storeu_ps(x.add(at / 2), pairs, both);
        }
    });
    1.0 / _mm512_reduce_add_ps(sum)
}
