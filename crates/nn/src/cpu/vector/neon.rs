//! 4 lanes of NEON, which every 64-bit ARM has.

use super::{Vector, instructions};
use std::arch::aarch64::*;

// SAFETY of all calls below: as the trait says.
impl Vector for float32x4_t {
    const LANES: usize = 4;
    const SIDE: usize = 2;
    const FUSED: bool = true;
    const ANY_POWER: bool = false;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        unsafe { vdupq_n_f32(x) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self) }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, some: usize) -> Self {
        let mut lanes = [0.0; Self::LANES];
        unsafe {
            lanes[..some].copy_from_slice(std::slice::from_raw_parts(from, some));
            vld1q_f32(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, some: usize) {
        let mut lanes = [0.0; Self::LANES];
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), self);
            std::slice::from_raw_parts_mut(to, some).copy_from_slice(&lanes[..some]);
        }
    }

    instructions! {
        add(other) = vaddq_f32;
        sub(other) = vsubq_f32;
        mul(other) = vmulq_f32;
        div(other) = vdivq_f32;
        round() = vrndnq_f32;
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        unsafe { vfmaq_f32(sum, self, factor) }
    }

    #[inline(always)]
    unsafe fn mul_sub(self, factor: Self, sum: Self) -> Self {
        unsafe { vfmaq_f32(vnegq_f32(sum), self, factor) }
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        unsafe { vbslq_f32(vcgtq_f32(self, other), self, other) }
    }

    #[inline(always)]
    unsafe fn and_beyond(self, first: usize, x: f32) -> Self {
        let mut lanes = [x; Self::LANES];
        unsafe {
            self.store_some(lanes.as_mut_ptr(), first);
            vld1q_f32(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn times_two_to(self, n: Self) -> Self {
        unsafe {
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vmulq_f32(self, vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        unsafe { vaddvq_f32(self) }
    }

    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        unsafe { vmaxvq_f32(self) }
    }
}
