//! Vectors of f32 of each level, for what the compiler does not turn into them well enough by itself.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;

pub(super) use plain::Lanes;

/// A vector. All functions are inlined into one that is compiled for the level (`on_vectors`).
///
/// # Safety  of all functions: the machine has the level's instructions, and pointers have as many elements as are
/// read or written.
pub(super) trait Vector: Copy {
    /// Elements.
    const LANES: usize;
    /// Vectors whose sums with 8 others each fit the registers, beside what makes them: 1 or 2.
    const SIDE: usize;
    /// Whether [`Vector::mul_add`] rounds once.
    const FUSED: bool;
    /// Whether [`Vector::round`] and [`Vector::times_two_to`] take any numbers, and powers below the smallest number are
    /// 0.
    const ANY_POWER: bool;

    /// `x` in all lanes.
    unsafe fn splat(x: f32) -> Self;
    /// The elements from `from` on.
    unsafe fn load(from: *const f32) -> Self;
    /// All lanes to `to`.
    unsafe fn store(self, to: *mut f32);
    /// The first `some` elements, 0 in the other lanes.
    unsafe fn load_some(from: *const f32, some: usize) -> Self;
    /// The first `some` lanes.
    unsafe fn store_some(self, to: *mut f32, some: usize);

    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    /// self·factor + sum.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;
    /// self·factor − sum, likewise.
    unsafe fn mul_sub(self, factor: Self, sum: Self) -> Self;
    /// The larger; `other` where either is NaN.
    unsafe fn max(self, other: Self) -> Self;
    /// The lanes from `first` on replaced by `x`.
    unsafe fn and_beyond(self, first: usize, x: f32) -> Self;

    /// The nearest whole numbers, of numbers below 2²².
    unsafe fn round(self) -> Self;
    /// self·2^n for whole n from −126 to 0.
    unsafe fn times_two_to(self, n: Self) -> Self;

    /// Of all lanes.
    unsafe fn sum(self) -> f32;
    /// Of all lanes, none of which is NaN.
    unsafe fn largest(self) -> f32;
}

/// Functions of vectors that are one instruction with the same operands.
macro_rules! instructions {
    ($($name:ident($($arg:ident)*) = $instruction:ident;)*) => {$(
        #[inline(always)]
        unsafe fn $name(self $(, $arg: Self)*) -> Self {
            // SAFETY: as the trait says.
            unsafe { $instruction(self $(, $arg)*) }
        }
    )*};
}
use instructions;

/// Does a block for the lanes of a vector of `n` elements at a time, `at` the first; of the last there may be fewer. No
/// closure: a compiler that does not inline it calls a function for every instruction.
macro_rules! by_vectors {
    ($v:ty, $n:expr, |$at:ident, $lanes:ident| $body:block) => {
        let (n, all) = ($n, <$v as $crate::cpu::vector::Vector>::LANES);
        let whole = n - n % all;
        for $at in (0..whole).step_by(all) {
            let $lanes = all;
            $body
        }
        if whole < n {
            let ($at, $lanes) = (whole, n - whole);
            $body
        }
    };
}
pub(super) use by_vectors;

/// The lanes that [`by_vectors`] asks for.
///
/// # Safety  as [`Vector`] says.
#[inline(always)]
pub(super) unsafe fn load<V: Vector>(from: *const f32, lanes: usize) -> V {
    // SAFETY: as the caller's.
    unsafe { if lanes == V::LANES { V::load(from) } else { V::load_some(from, lanes) } }
}

/// As [`load`].
///
/// # Safety  as [`Vector`] says.
#[inline(always)]
pub(super) unsafe fn store<V: Vector>(v: V, to: *mut f32, lanes: usize) {
    // SAFETY: as the caller's.
    unsafe { if lanes == V::LANES { v.store(to) } else { v.store_some(to, lanes) } }
}

/// Compiles one body for the vectors of every level and calls the right one. The body is as safe as its arguments say.
macro_rules! on_vectors {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident<$v:ident>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            unsafe fn body<$v: $crate::cpu::vector::Vector>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,fma")]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: as the caller's.
                unsafe { body::<std::arch::x86_64::__m512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: as the caller's.
                unsafe { body::<std::arch::x86_64::__m256>($($arg),*) }
            }
            // SAFETY: as the caller's; `level` saw the instructions on this machine.
            unsafe {
                match $crate::cpu::level() {
                    #[cfg(target_arch = "x86_64")]
                    $crate::cpu::Level::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::cpu::Level::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::cpu::Level::Neon => body::<std::arch::aarch64::float32x4_t>($($arg),*),
                    _ => body::<$crate::cpu::vector::Lanes>($($arg),*),
                }
            }
        }
    };
}
pub(super) use on_vectors;

#[cfg(test)]
mod tests;
