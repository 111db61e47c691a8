//! The most multiply-adds one core of this machine does: the yardstick of every share that bench prints.

use super::number::Number;
use super::vector::{Vector, on_vectors};
use std::time::Instant;

/// GFLOP/s of multiply-adds in registers on one core (a multiply-add counts two), of f32 or, summed in f32, of
/// bf16: the best of `tries`.
pub fn fma_peak(number: Number, tries: usize) -> f64 {
    const ROUNDS: usize = 400_000;
    let run = || -> usize {
        // SAFETY: bf16 is only asked for where it is.
        unsafe {
            match number {
                #[cfg(target_arch = "x86_64")]
                Number::Bf16 => bf16(ROUNDS),
                _ => f32(ROUNDS),
            }
        }
    };
    (0..tries.max(1))
        .map(|_| {
            let start = Instant::now();
            let flops = std::hint::black_box(run());
            flops as f64 / start.elapsed().as_secs_f64() * 1e-9
        })
        .fold(0.0, f64::max)
}

on_vectors! {
    /// # Safety  none.
    unsafe fn f32<V>(rounds: usize) -> usize {
        // SAFETY: nothing is read or written.
        unsafe { if V::SIDE == 1 { sums::<V, 12>(rounds) } else { sums::<V, 24>(rounds) } }
    }
}

/// # Safety  as [`Vector`] says.
#[inline(always)]
unsafe fn sums<V: Vector, const N: usize>(rounds: usize) -> usize {
    // SAFETY: as the caller's.
    unsafe {
        let (x, y) = (V::splat(std::hint::black_box(0.999)), V::splat(std::hint::black_box(1e-3)));
        let mut acc = [y; N];
        for _ in 0..rounds {
            for a in &mut acc {
                *a = a.mul_add(x, y);
            }
        }
        std::hint::black_box(acc);
    }
    rounds * N * V::LANES * 2
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
fn bf16(rounds: usize) -> usize {
    use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps, _mm512_set1_ps};
    let [x, y] = [1e-3, 2e-3].map(|v| _mm512_set1_ps(std::hint::black_box(v)));
    // SAFETY: the same 512 bits under another name.
    let [x, y] = unsafe { std::mem::transmute::<[__m512; 2], [__m512bh; 2]>([x, y]) };
    let mut acc = [_mm512_set1_ps(0.0); 16];
    for _ in 0..rounds {
        for a in &mut acc {
            *a = _mm512_dpbf16_ps(*a, x, y);
        }
    }
    std::hint::black_box(acc);
    rounds * 16 * 32 * 2
}
