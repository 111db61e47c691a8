//! The innermost loops of the matrix product: one block of C in registers. With AVX-512 12 × 32 of C are 24
//! accumulators, and each step of k does 24 fused multiply-adds on 14 loads.
//!
//! In bf16 a step takes two of k: an element of A or B is then a *pair*, two numbers side by side in the place of
//! one f32, and the instruction multiplies and adds both. Sums stay f32.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
pub(super) use avx512::{step_bf16, step_f32};

#[cfg(target_arch = "x86_64")]
use super::level::Level;
use super::level::level;
use super::number::Number;
use super::packed::NR;

/// A kernel, and the most of C it holds in registers.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub run: unsafe fn(&Tile),
    pub rows: usize,
    /// [`NR`], or a part of it.
    pub columns: usize,
}

/// The best kernel of this machine for numbers of this kind.
///
/// # Panics  for bf16 on a machine without its instructions, which never packs any.
pub(super) fn kernel(number: Number) -> Kernel {
    match (number, level()) {
        #[cfg(target_arch = "x86_64")]
        (Number::F32, Level::Avx512) => Kernel { run: avx512::f32::tile, rows: avx512::MR, columns: NR },
        #[cfg(target_arch = "x86_64")]
        (Number::Bf16, Level::Avx512) => Kernel { run: avx512::bf16::tile, rows: avx512::MR, columns: NR },
        #[cfg(target_arch = "x86_64")]
        (Number::F32, Level::Avx2) => Kernel { run: avx2::tile, rows: avx2::MR, columns: avx2::COLUMNS },
        (Number::F32, _) => Kernel { run: plain, rows: PLAIN_MR, columns: NR },
        (Number::Bf16, level) => unreachable!("bf16 pairs at level {level:?}"),
    }
}

/// One register block: C[rows, columns ≤ NR] over `depth` steps of k.
pub(super) struct Tile {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub a: *const f32,
    pub a_stride: usize,
    pub b: *const f32,
    pub c: *mut f32,
    pub c_stride: usize,
    pub bias: *const f32,
    pub relu: bool,
    pub accumulate: bool,
}

/// Rows in registers of the portable kernel: 3 × 32 floats are 24 NEON registers.
const PLAIN_MR: usize = 3;

pub(super) unsafe fn plain(tile: &Tile) {
    // SAFETY: as the caller's.
    unsafe { portable::<{ cfg!(target_arch = "aarch64") }>(tile) }
}

#[inline(always)]
unsafe fn portable<const FMA: bool>(t: &Tile) {
    let mut acc = [[0f32; NR]; PLAIN_MR];
    for p in 0..t.depth {
        // SAFETY: B has depth × NR elements from here, A has `rows` rows of at least `depth`.
        let b = unsafe { &*t.b.add(p * NR).cast::<[f32; NR]>() };
        for (i, acc) in acc.iter_mut().enumerate() {
            let row = if i < t.rows { i } else { 0 };
            let a = unsafe { *t.a.add(row * t.a_stride + p) };
            for j in 0..NR {
                acc[j] = if FMA { a.mul_add(b[j], acc[j]) } else { acc[j] + a * b[j] };
            }
        }
    }
    for (i, acc) in acc.iter().enumerate().take(t.rows) {
        for (j, &value) in acc.iter().enumerate().take(t.columns) {
            // SAFETY: C has `rows` rows of at least `columns`; bias is null or has `columns` elements.
            unsafe {
                let c = t.c.add(i * t.c_stride + j);
                let mut v = if t.accumulate { *c + value } else { value };
                if !t.bias.is_null() {
                    v += *t.bias.add(j);
                }
                *c = if t.relu && v < 0.0 { 0.0 } else { v };
            }
        }
    }
}
