//! Softmax of one row, without its division.

use super::level::dispatch;
#[cfg(target_arch = "x86_64")]
use super::level::{Level, level};
use super::number::Number;
use super::rows::{LANES, total};

/// e^(x − max) in place of `logits`, where x = logits·scale + bias + mask. `bias` may be empty. Returns 1 / Σ,
/// for the caller to multiply the weighted sum by.
///
/// # Panics  if the lengths differ.
pub fn softmax_row(logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
    softmax_row_as(Number::F32, logits, scale, bias, mask)
}

/// As [`softmax_row`]; in bf16 the powers lie as pairs in the first half of `logits`, an odd one out with 0.
///
/// # Panics  as [`softmax_row`].
pub fn softmax_row_as(number: Number, logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
    let n = logits.len();
    assert!(mask.len() == n && (bias.is_empty() || bias.len() == n));
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        // SAFETY: the machine has the instructions (bf16 is only asked for where it is), and the lengths agree.
        return unsafe {
            let max = x86::finish_logits(logits, scale, bias, mask);
            match number {
                Number::F32 => x86::powers(logits, max),
                Number::Bf16 => x86::powers_in_pairs(logits, max),
            }
        };
    }
    assert!(number == Number::F32, "bf16 without its instructions");
    portable(logits, scale, bias, mask)
}

dispatch! {
    /// [`softmax_row`] for any machine.
    pub fn portable[fma, exp](logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
        let n = logits.len();
        let mut max = [f32::MIN; LANES];
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        let whole = n - n % LANES;
        for at in (0..whole).step_by(LANES) {
            let x: &mut [f32; LANES] = lanes_mut(logits, at);
            let m: &[f32; LANES] = lanes(mask, at);
            if bias.is_empty() {
                for l in 0..LANES {
                    x[l] = fma(x[l], scale, m[l]);
                }
            } else {
                let b: &[f32; LANES] = lanes(bias, at);
                for l in 0..LANES {
                    x[l] = fma(x[l], scale, b[l]) + m[l];
                }
            }
            for l in 0..LANES {
                max[l] = larger(x[l], max[l]);
            }
        }
        for i in whole..n {
            let b = if bias.is_empty() { 0.0 } else { bias[i] };
            logits[i] = fma(logits[i], scale, b) + mask[i];
            max[i - whole] = larger(logits[i], max[i - whole]);
        }
        let max = max.iter().fold(f32::MIN, |a, &b| larger(b, a));
        let mut sums = [0f32; LANES];
        for at in (0..whole).step_by(LANES) {
            let x: &mut [f32; LANES] = lanes_mut(logits, at);
            for l in 0..LANES {
                x[l] = exp(x[l] - max);
            }
            for l in 0..LANES {
                sums[l] += x[l];
            }
        }
        for i in whole..n {
            logits[i] = exp(logits[i] - max);
            sums[i - whole] += logits[i];
        }
        1.0 / total(sums)
    }
}

/// `LANES` elements from `at` on, as an array, so that loops over them become single instructions.
#[inline(always)]
fn lanes(x: &[f32], at: usize) -> &[f32; LANES] {
    x[at..at + LANES].try_into().expect("as long as the array")
}

#[inline(always)]
fn lanes_mut(x: &mut [f32], at: usize) -> &mut [f32; LANES] {
    (&mut x[at..at + LANES]).try_into().expect("as long as the array")
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{COARSE, FINE, power_of_two};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::lanes::{by_16, by_32, lanes};
    use std::arch::x86_64::*;

    // Minimax polynomials of (2^r − 1) / r on |r| ≤ ½, highest power first.

    /// To 9e-8 of 2^r.
    #[allow(clippy::approx_constant)] // the last is not ln 2 but what fits best
    pub const FINE: [f32; 5] = [1.326_469_8e-3, 9.671_509e-3, 5.550_734e-2, 2.402_224_2e-1, 6.931_47e-1];
    /// To 1e-4 of 2^r, a fortieth of a bf16's last bit.
    pub const COARSE: [f32; 3] = [5.500_858e-2, 2.422_103_7e-1, 6.932_829e-1];
    /// Rounds to whole numbers.
    const WHOLE: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

    /// What f32 leaves of log₂ e.
    const LOG2_E_LOW: f32 = 1.925_963e-8;

    /// e^x for x ≤ 0, with [`FINE`] to two units of the last place. 0 where that is below the smallest number.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn exp<const N: usize>(x: __m512, polynomial: &[f32; N]) -> __m512 {
        let log2_e = _mm512_set1_ps(std::f32::consts::LOG2_E);
        let n = _mm512_roundscale_ps::<WHOLE>(_mm512_mul_ps(x, log2_e));
        let r = _mm512_fmsub_ps(x, log2_e, n);
        let r = if N == FINE.len() { _mm512_fmadd_ps(x, _mm512_set1_ps(LOG2_E_LOW), r) } else { r };
        power(n, r, polynomial)
    }

    /// 2^x for x ≤ 0, as exact as [`exp`].
    #[target_feature(enable = "avx512f")]
    #[inline]
    pub fn power_of_two<const N: usize>(x: __m512, polynomial: &[f32; N]) -> __m512 {
        let n = _mm512_roundscale_ps::<WHOLE>(x);
        power(n, _mm512_sub_ps(x, n), polynomial)
    }

    /// 2^(n + r) for a whole n and |r| ≤ ½.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn power<const N: usize>(n: __m512, r: __m512, polynomial: &[f32; N]) -> __m512 {
        let mut p = _mm512_set1_ps(polynomial[0]);
        for c in &polynomial[1..] {
            p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(*c));
        }
        _mm512_scalef_ps(_mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0)), n)
    }

    /// Scales and adds to the logits in place; the largest.
    ///
    /// # Safety  `mask` is as long as `logits`, `bias` too if not empty.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn finish_logits(logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
        let (n, x) = (logits.len(), logits.as_mut_ptr());
        let scale = _mm512_set1_ps(scale);
        let mut max = _mm512_set1_ps(f32::MIN);
        by_16(n, |at, some| {
            // SAFETY: lanes beyond the end are neither read nor written.
            unsafe {
                let m = _mm512_maskz_loadu_ps(some, mask.as_ptr().add(at));
                let v = _mm512_maskz_loadu_ps(some, x.add(at));
                let v = if bias.is_empty() {
                    _mm512_fmadd_ps(v, scale, m)
                } else {
                    let b = _mm512_maskz_loadu_ps(some, bias.as_ptr().add(at));
                    _mm512_add_ps(_mm512_fmadd_ps(v, scale, b), m)
                };
                max = _mm512_mask_max_ps(max, some, v, max);
                _mm512_mask_storeu_ps(x.add(at), some, v);
            }
        });
        _mm512_reduce_max_ps(max)
    }

    /// Powers in place of `x`; 1 over their sum.
    #[target_feature(enable = "avx512f")]
    pub fn powers(x: &mut [f32], max: f32) -> f32 {
        let (n, x) = (x.len(), x.as_mut_ptr());
        let (max, mut sum) = (_mm512_set1_ps(max), _mm512_setzero_ps());
        by_16(n, |at, some| {
            // SAFETY: lanes beyond the end are neither read nor written.
            unsafe {
                let v = exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(some, x.add(at)), max), &FINE);
                sum = _mm512_mask_add_ps(sum, some, sum, v);
                _mm512_mask_storeu_ps(x.add(at), some, v);
            }
        });
        1.0 / _mm512_reduce_add_ps(sum)
    }

    /// As [`powers`], rounded to bf16, in pairs in the first half of `x`.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn powers_in_pairs(x: &mut [f32], max: f32) -> f32 {
        let (n, x) = (x.len(), x.as_mut_ptr());
        let (max, mut sum) = (_mm512_set1_ps(max), _mm512_setzero_ps());
        by_32(n, |at, some| {
            // SAFETY: lanes beyond the end are neither read nor written; what is written lies before what is
            // still to be read.
            unsafe {
                let half = |i: usize| {
                    let v = _mm512_maskz_loadu_ps(some[i], x.wrapping_add(at + 16 * i));
                    _mm512_maskz_mov_ps(some[i], exp(_mm512_sub_ps(v, max), &COARSE))
                };
                let (low, high) = (half(0), half(1));
                sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
                let both = std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low));
                let pairs = if some[1] == !0 { !0 } else { lanes(n.div_ceil(2), at / 2) };
                _mm512_mask_storeu_ps(x.add(at / 2), pairs, both);
            }
        });
        1.0 / _mm512_reduce_add_ps(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::scale_row;
    use super::*;

    #[test]
    fn softmax_of_odd_lengths() {
        for n in [1usize, 2, 17, 33, 130] {
            let x: Vec<f32> = (0..n).map(|i| ((i * 37 % 23) as f32 - 11.0) * 0.7).collect();
            let bias: Vec<f32> = (0..n).map(|i| (i % 5) as f32 * 0.3).collect();
            let mask: Vec<f32> = (0..n).map(|i| if i % 7 == 3 { -1e9 } else { 0.0 }).collect();
            let mut got = x.clone();
            let inverse = softmax_row(&mut got, 0.5, &bias, &mask);
            scale_row(&mut got, inverse);
            let e: Vec<f64> =
                (0..n).map(|i| (0.5 * x[i] as f64 + bias[i] as f64 + mask[i] as f64).exp()).collect();
            let total: f64 = e.iter().sum();
            for i in 0..n {
                assert!((got[i] as f64 - e[i] / total).abs() < 1e-6, "n {n} at {i}");
            }
        }
    }

    #[test]
    fn pairs_are_the_rounded_powers() {
        let number = Number::bf16_if_fast();
        for n in [1usize, 2, 15, 17, 31, 33, 70, 130] {
            let x: Vec<f32> = (0..n).map(|i| ((i * 37 % 23) as f32 - 11.0) * 0.7).collect();
            let mask: Vec<f32> = (0..n).map(|i| if i % 7 == 3 { -1e9 } else { 0.0 }).collect();
            let (mut exact, mut paired) = (x.clone(), x);
            let want = softmax_row(&mut exact, 0.5, &[], &mask);
            let got = softmax_row_as(number, &mut paired, 0.5, &[], &mask);
            assert!((got / want - 1.0).abs() < 2e-4, "{n}: {got} {want}");
            if number == Number::F32 {
                continue; // no bf16 on this machine
            }
            for (i, want) in exact.iter().chain(&[0.0; 1][..n % 2]).enumerate() {
                let half = (paired[i / 2].to_bits() >> (16 * (i % 2))) as u16;
                let got = half::bf16::from_bits(half).to_f32();
                assert!((got - want).abs() <= want / 250.0, "{i} of {n}: {got} {want}");
            }
        }
    }

    #[test]
    fn masked_rows_are_uniform_as_in_alphafold() {
        let mut x = [0.5f32, -0.25, 0.125];
        let inverse = softmax_row(&mut x, 1.0, &[], &[-1e9; 3]);
        scale_row(&mut x, inverse);
        assert!(x.iter().all(|v| (v - 1.0 / 3.0).abs() < 1e-6), "{x:?}");
    }

    #[test]
    fn exponentials_are_good_to_two_ulp() {
        // The first is the largest, so that its power is 1; the others are read one by one.
        for i in 0..86_000 {
            let x = i as f32 * -1e-3;
            for row in [softmax_row, portable] {
                let mut logits = [0.0, x];
                row(&mut logits, 1.0, &[], &[0.0; 2]);
                let want = (x as f64).exp();
                let error = (logits[1] as f64 - want).abs() / want;
                assert!(logits[0] == 1.0 && error < 2.4e-7, "exp({x}) = {}, want {want}", logits[1]);
            }
        }
    }
}
