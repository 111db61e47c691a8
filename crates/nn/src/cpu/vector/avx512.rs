//! 16 lanes of AVX-512.

use super::{Vector, instructions};
use std::arch::x86_64::*;

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

/// The first `some` lanes.
#[inline(always)]
fn mask(some: usize) -> __mmask16 {
    ((1u32 << some) - 1) as __mmask16
}

// SAFETY of all calls below: as the trait says.
impl Vector for __m512 {
    const LANES: usize = 16;
    const SIDE: usize = 2;
    const FUSED: bool = true;
    const ANY_POWER: bool = true;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, some: usize) -> Self {
        unsafe { _mm512_maskz_loadu_ps(mask(some), from) }
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, some: usize) {
        unsafe { _mm512_mask_storeu_ps(to, mask(some), self) }
    }

    instructions! {
        add(other) = _mm512_add_ps;
        sub(other) = _mm512_sub_ps;
        mul(other) = _mm512_mul_ps;
        div(other) = _mm512_div_ps;
        mul_add(factor sum) = _mm512_fmadd_ps;
        mul_sub(factor sum) = _mm512_fmsub_ps;
        max(other) = _mm512_max_ps;
    }

    #[inline(always)]
    unsafe fn and_beyond(self, first: usize, x: f32) -> Self {
        unsafe { _mm512_mask_mov_ps(_mm512_set1_ps(x), mask(first), self) }
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        unsafe { _mm512_roundscale_ps::<NEAREST>(self) }
    }

    #[inline(always)]
    unsafe fn times_two_to(self, n: Self) -> Self {
        unsafe { _mm512_scalef_ps(self, n) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { _mm512_reduce_add_ps(self) }
    }

    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        unsafe { _mm512_reduce_max_ps(self) }
    }
}
