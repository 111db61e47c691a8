//! Rows in vectors of AVX-512: whole ones without a mask, what is left with one.

use std::arch::x86_64::__mmask16;

/// Lanes that `n` elements leave at `at`.
pub(super) fn lanes(n: usize, at: usize) -> __mmask16 {
    ((1u32 << n.saturating_sub(at).min(16)) - 1) as __mmask16
}

/// Calls `f(at, lanes)` for 16 of `n` elements at a time. Inlined, whole vectors need no mask.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn by_16(n: usize, mut f: impl FnMut(usize, __mmask16)) {
    let whole = n - n % 16;
    for at in (0..whole).step_by(16) {
        f(at, !0);
    }
    if whole < n {
        f(whole, lanes(n, whole));
    }
}

/// Calls `f(at, lanes of both vectors)` for 32 of `n` elements at a time.
#[target_feature(enable = "avx512f")]
#[inline]
pub(super) fn by_32(n: usize, mut f: impl FnMut(usize, [__mmask16; 2])) {
    let whole = n - n % 32;
    for at in (0..whole).step_by(32) {
        f(at, [!0; 2]);
    }
    if whole < n {
        f(whole, [lanes(n, whole), lanes(n, whole + 16)]);
    }
}
