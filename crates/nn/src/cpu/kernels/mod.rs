//! The innermost loops of the matrix product: one block of C in registers. With AVX-512 12 × 32 of C are 24
//! accumulators, and each step of k does 24 fused multiply-adds on 14 loads.
//!
//! In bf16 a step takes two of k: an element of A or B is then a *pair*, two numbers side by side in the place of
//! one f32, and the instruction multiplies and adds both. Sums stay f32.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod tiles;

#[cfg(target_arch = "x86_64")]
pub(super) use avx512::step_bf16;

use super::level::{Level, level};
use super::number::Number;

/// A kernel, and the most rows of C it takes.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub run: unsafe fn(&Tile),
    pub rows: usize,
}

/// Columns of a panel of packed B: those of a register block. [`WIDEST`] is a multiple of it.
pub(super) fn panel() -> usize {
    if level() == Level::Avx512 { WIDEST } else { 16 }
}

/// Columns of the widest panel.
pub(super) const WIDEST: usize = 32;

/// The best kernel of this machine for numbers of this kind.
///
/// # Panics  for bf16 on a machine without its instructions, which never packs any.
pub(super) fn kernel(number: Number) -> Kernel {
    match (number, level()) {
        #[cfg(target_arch = "x86_64")]
        (Number::F32, Level::Avx512) => Kernel { run: avx512::f32::tile, rows: avx512::MR },
        #[cfg(target_arch = "x86_64")]
        (Number::Bf16, Level::Avx512) => Kernel { run: avx512::bf16::tile, rows: avx512::MR },
        #[cfg(target_arch = "x86_64")]
        (Number::F32, Level::Avx2) => Kernel { run: tiles::avx2, rows: tiles::MR },
        #[cfg(target_arch = "aarch64")]
        (Number::F32, Level::Neon) => Kernel { run: tiles::neon, rows: tiles::MR },
        (Number::F32, _) => Kernel { run: tiles::plain, rows: tiles::FEW },
        (Number::Bf16, level) => unreachable!("bf16 pairs at level {level:?}"),
    }
}

/// One register block: C[rows, columns ≤ a panel's] over `depth` steps of k.
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
