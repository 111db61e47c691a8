//! What the compiler makes of loops over four numbers.

use super::Vector;

#[derive(Clone, Copy)]
pub(in crate::cpu) struct Lanes([f32; 4]);

impl Lanes {
    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for l in 0..Self::LANES {
            out.0[l] = f(self.0[l], other.0[l]);
        }
        out
    }
}

impl Vector for Lanes {
    const LANES: usize = 4;
    const SIDE: usize = 1;
    const FUSED: bool = false;
    const ANY_POWER: bool = false;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; Self::LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: as the trait says.
        Self(unsafe { from.cast::<[f32; Self::LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as the trait says.
        unsafe { to.cast::<[f32; Self::LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn load_some(from: *const f32, some: usize) -> Self {
        let mut out = [0.0; Self::LANES];
        // SAFETY: as the trait says.
        out[..some].copy_from_slice(unsafe { std::slice::from_raw_parts(from, some) });
        Self(out)
    }

    #[inline(always)]
    unsafe fn store_some(self, to: *mut f32, some: usize) {
        // SAFETY: as the trait says.
        unsafe { std::slice::from_raw_parts_mut(to, some) }.copy_from_slice(&self.0[..some]);
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.with(other, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| a * b)
    }

    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.with(other, |a, b| a / b)
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        self.with(factor, |a, b| a * b).with(sum, |a, b| a + b)
    }

    #[inline(always)]
    unsafe fn mul_sub(self, factor: Self, sum: Self) -> Self {
        self.with(factor, |a, b| a * b).with(sum, |a, b| a - b)
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.with(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    unsafe fn and_beyond(self, first: usize, x: f32) -> Self {
        let mut out = self;
        out.0[first..].fill(x);
        out
    }

    #[inline(always)]
    unsafe fn round(self) -> Self {
        // Adding and subtracting 1.5·2²³ rounds to the nearest integer.
        const ROUND: f32 = 12_582_912.0;
        self.with(self, |a, _| a + ROUND - ROUND)
    }

    #[inline(always)]
    unsafe fn times_two_to(self, n: Self) -> Self {
        self.with(n, |a, n| {
            // SAFETY: n is a whole number from -126 to 0.
            let n = unsafe { n.to_int_unchecked::<i32>() };
            a * f32::from_bits(((n + 127) << 23) as u32)
        })
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }

    #[inline(always)]
    unsafe fn largest(self) -> f32 {
        self.0.into_iter().fold(f32::MIN, |a, b| if b > a { b } else { a })
    }
}
