//! The most multiply-adds one core of this machine does: the yardstick of every share that bench prints.

use super::level::{Level, level};
use std::time::Instant;

/// GFLOP/s of f32 fused multiply-adds in registers on one core (a multiply-add counts two): the best of `tries`.
pub fn fma_peak(tries: usize) -> f64 {
    const ROUNDS: usize = 400_000;
    let run = || -> usize {
        match level() {
            // SAFETY: `level` saw this instruction set on this machine.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512(ROUNDS) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2(ROUNDS) },
            _ => registers(ROUNDS),
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

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(rounds: usize) -> usize {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    let (x, y) = (_mm512_set1_ps(std::hint::black_box(0.999)), _mm512_set1_ps(std::hint::black_box(1e-3)));
    let mut acc = [y; 16];
    for _ in 0..rounds {
        for a in &mut acc {
            *a = _mm512_fmadd_ps(*a, x, y);
        }
    }
    std::hint::black_box(acc);
    rounds * 16 * 16 * 2
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(rounds: usize) -> usize {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    let (x, y) = (_mm256_set1_ps(std::hint::black_box(0.999)), _mm256_set1_ps(std::hint::black_box(1e-3)));
    let mut acc = [y; 12];
    for _ in 0..rounds {
        for a in &mut acc {
            *a = _mm256_fmadd_ps(*a, x, y);
        }
    }
    std::hint::black_box(acc);
    rounds * 12 * 8 * 2
}

fn registers(rounds: usize) -> usize {
    let (x, y) = (std::hint::black_box(0.999f32), std::hint::black_box(1e-3f32));
    let mut acc = [y; 32];
    for _ in 0..rounds {
        for a in &mut acc {
            *a = *a * x + y;
        }
    }
    std::hint::black_box(acc);
    rounds * 32 * 2
}
