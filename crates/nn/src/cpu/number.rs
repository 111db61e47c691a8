//! What the factors of a matrix product are rounded to. Sums are f32 in any case.

use super::level::has_bf16;

/// Numbers of a packed matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Number {
    /// As they are.
    #[default]
    F32,
    /// Rounded to bf16 (8 bits of mantissa, to nearest even), two of k side by side.
    Bf16,
}

impl Number {
    /// bf16 where the machine multiplies it faster, else f32.
    pub fn bf16_if_fast() -> Self {
        if has_bf16() { Self::Bf16 } else { Self::F32 }
    }

    /// Places of an f32 that `k` numbers take.
    pub fn depth(self, k: usize) -> usize {
        match self {
            Self::F32 => k,
            Self::Bf16 => k.div_ceil(2),
        }
    }

    /// `from` as these numbers into `to`: copied, or in pairs, an odd one out with 0.
    ///
    /// # Panics  if `to` is not [`Number::depth`] long.
    pub fn copy(self, from: &[f32], to: &mut [f32]) {
        match self {
            Self::F32 => to.copy_from_slice(from),
            Self::Bf16 => pair_up(from, to),
        }
    }
}

/// `x` as pairs of bf16, the first in the low half; an odd one out is paired with 0.
///
/// # Panics  if `pairs` is not half as long, rounded up, or the machine has no bf16 instructions.
pub(super) fn pair_up(x: &[f32], pairs: &mut [f32]) {
    assert!(pairs.len() == x.len().div_ceil(2) && has_bf16());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: checked above.
    unsafe {
        x86::pair_up(x, pairs)
    }
}

/// Elements of two rows as pairs, `low` in the low halves.
///
/// # Panics  if the lengths differ, or the machine has no bf16 instructions.
pub(super) fn pair_rows(low: &[f32], high: &[f32], pairs: &mut [f32]) {
    assert!(low.len() == pairs.len() && high.len() == pairs.len() && has_bf16());
    #[cfg(target_arch = "x86_64")]
    // SAFETY: checked above.
    unsafe {
        x86::pair_rows(low, high, pairs)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    fn mask(n: usize) -> __mmask16 {
        ((1u32 << n.min(16)) - 1) as __mmask16
    }

    /// # Safety  `pairs` is half as long as `x`, rounded up.
    #[target_feature(enable = "avx512f,avx512vl,avx512bf16")]
    pub unsafe fn pair_up(x: &[f32], pairs: &mut [f32]) {
        for (from, to) in x.chunks(32).zip(pairs.chunks_mut(16)) {
            let n = from.len();
            // SAFETY: masked to what the chunks have.
            unsafe {
                let low = _mm512_maskz_loadu_ps(mask(n), from.as_ptr());
                let high = _mm512_maskz_loadu_ps(mask(n.saturating_sub(16)), from.as_ptr().wrapping_add(16));
                let both = std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low));
                _mm512_mask_storeu_ps(to.as_mut_ptr(), mask(to.len()), both);
            }
        }
    }

    /// # Safety  all three are of one length.
    #[target_feature(enable = "avx512f,avx512vl,avx512bf16")]
    pub unsafe fn pair_rows(low: &[f32], high: &[f32], pairs: &mut [f32]) {
        for (i, to) in pairs.chunks_mut(16).enumerate() {
            let mask = mask(to.len());
            // SAFETY: masked to what the chunk has.
            unsafe {
                let half = |row: &[f32]| {
                    let row = _mm512_maskz_loadu_ps(mask, row.as_ptr().add(16 * i));
                    let rounded = _mm512_cvtneps_pbh(row);
                    _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(rounded))
                };
                let both = _mm512_or_si512(half(low), _mm512_slli_epi32::<16>(half(high)));
                _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, _mm512_castsi512_ps(both));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    fn halves(pair: f32) -> (f32, f32) {
        let bits = pair.to_bits();
        (bf16::from_bits(bits as u16).to_f32(), bf16::from_bits((bits >> 16) as u16).to_f32())
    }

    #[test]
    fn pairs_are_rounded_to_nearest_even() {
        if !has_bf16() {
            return; // no such instructions: nothing is ever paired
        }
        for n in [1usize, 2, 15, 16, 17, 31, 32, 33, 70] {
            let x: Vec<f32> = (0..n).map(|i| (i as f32 * 1.7).sin() * 10f32.powi(i as i32 % 9 - 4)).collect();
            let y: Vec<f32> = x.iter().rev().copied().collect();
            let rounded = |v: f32| bf16::from_f32(v).to_f32();
            let mut pairs = vec![f32::NAN; n.div_ceil(2)];
            pair_up(&x, &mut pairs);
            for (i, pair) in pairs.iter().enumerate() {
                let second = x.get(2 * i + 1).map_or(0.0, |&v| rounded(v));
                assert_eq!(halves(*pair), (rounded(x[2 * i]), second), "{i} of {n}");
            }
            let mut pairs = vec![f32::NAN; n];
            pair_rows(&x, &y, &mut pairs);
            for (i, pair) in pairs.iter().enumerate() {
                assert_eq!(halves(*pair), (rounded(x[i]), rounded(y[i])), "{i} of {n}");
            }
        }
        let mut pair = [0.0];
        pair_up(&[f32::INFINITY, f32::NAN], &mut pair);
        let (a, b) = halves(pair[0]);
        assert!(a == f32::INFINITY && b.is_nan(), "{a} {b}");
    }
}
