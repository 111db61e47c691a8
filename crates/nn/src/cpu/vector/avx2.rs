//! 8 lanes of AVX2, with fused multiply-adds.

use super::{Vector, instructions};
use std::arch::x86_64::*;

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// All bits of the first `some` lanes.
#[inline(always)]
unsafe fn mask(some: usize) -> __m256i {
    const ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: `some` is at most 8; the machine has AVX2.
    unsafe { _mm256_loadu_si256(ONES.as_ptr().add(8 - some).cast()) }
}

/// Both halves joined by `f`, then what is left.
#[inline(always)]
unsafe fn fold(x: __m256, f: impl Fn(__m128, __m128) -> __m128) -> f32 {
    // SAFETY: the machine has AVX2.
    unsafe {
        let x = f(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = f(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(f(x, _mm_shuffle_ps::<1>(x, x)))
    }
}

// SAFETY of all calls below: as the trait says.
impl Vector for __m256 {
    const LANES: usize = 8;
    const SIDE: usize = 1;
    const FUSED: bool = true;
    const ANY_POWER: bool = false;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, some: usize) -> Self {
        unsafe { _mm256_maskload_ps(from, mask(some)) }
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, some: usize) {
        // Through memory: masked stores take many times as long on some machines.
        let mut lanes = [0.0; Self::LANES];
        unsafe {
            self.store(lanes.as_mut_ptr());
            std::slice::from_raw_parts_mut(to, some).copy_from_slice(&lanes[..some]);
        }
    }

    instructions! {
        add(other) = _mm256_add_ps;
        sub(other) = _mm256_sub_ps;
        mul(other) = _mm256_mul_ps;
        div(other) = _mm256_div_ps;
        mul_add(factor sum) = _mm256_fmadd_ps;
        mul_sub(factor sum) = _mm256_fmsub_ps;
        max(other) = _mm256_max_ps;
    }

    #[inline(always)]
    unsafe fn and_beyond(self, first: usize, x: f32) -> Self {
        unsafe { _mm256_blendv_ps(_mm256_set1_ps(x), self, _mm256_castsi256_ps(mask(first))) }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { _mm256_round_ps::<NEAREST>(self) }
    }

    #[inline(always)]
    unsafe fn times_two_to(self, n: Self) -> Self {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(self, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { fold(self, |a, b| _mm_add_ps(a, b)) }
    }

    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        unsafe { fold(self, |a, b| _mm_max_ps(a, b)) }
    }
}
