//! The most multiply-adds one core of this machine does: the yardstick of every share that bench prints.

#[cfg(target_arch = "x86_64")]
use super::level::Level;
use super::level::level;
use super::number::Number;
use std::time::Instant;

/// GFLOP/s of multiply-adds in registers on one core (a multiply-add counts two), of f32 or, summed in f32, of
/// bf16: the best of `tries`.
pub fn fma_peak(number: Number, tries: usize) -> f64 {
    const ROUNDS: usize = 400_000;
    let run = || -> usize {
        match (level(), number) {
            // SAFETY: bf16 is only asked for where it is, and `level` saw the rest on this machine.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, Number::Bf16) => unsafe { bf16(ROUNDS) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, Number::F32) => unsafe { avx512(ROUNDS) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, _) => unsafe { avx2(ROUNDS) },
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
