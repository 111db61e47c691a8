//! Softmax of one row, without its division.

use super::level::dispatch;
#[cfg(target_arch = "x86_64")]
use super::level::{Level, level};
use super::rows::{LANES, total};

/// e^(x − max) in place of `logits`, where x = logits·scale + bias + mask. `bias` may be empty. Returns 1 / Σ,
/// for the caller to multiply the weighted sum by.
///
/// # Panics  if the lengths differ.
pub fn softmax_row(logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
    let n = logits.len();
    assert!(mask.len() == n && (bias.is_empty() || bias.len() == n));
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        // SAFETY: the machine has the instructions, and the lengths agree.
        return unsafe { x86::softmax_row(logits, scale, bias, mask) };
    }
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
mod x86 {
    use std::arch::x86_64::*;

    /// Minimax polynomial of (2^r − 1) / r on |r| ≤ ½, highest power first: 9e-8 of 2^r.
    #[allow(clippy::approx_constant)] // the last is not ln 2 but what fits best
    const EXP2: [f32; 5] = [1.326_469_8e-3, 9.671_509e-3, 5.550_734e-2, 2.402_224_2e-1, 6.931_47e-1];
    /// Rounds to whole numbers.
    const WHOLE: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

    /// e^x for x ≤ 0, to 1.5e-7 + 2e-8·|x| relative: below the last bit of a sum that has e^0 in it. 0 where
    /// that is below the smallest number.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn exp(x: __m512) -> __m512 {
        let log2_e = _mm512_set1_ps(std::f32::consts::LOG2_E);
        let n = _mm512_roundscale_ps::<WHOLE>(_mm512_mul_ps(x, log2_e));
        let r = _mm512_fmsub_ps(x, log2_e, n);
        let mut p = _mm512_set1_ps(EXP2[0]);
        for c in &EXP2[1..] {
            p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(*c));
        }
        _mm512_scalef_ps(_mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0)), n)
    }

    /// # Safety  `mask` is as long as `logits`, `bias` too if not empty.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn softmax_row(logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
        let (n, x) = (logits.len(), logits.as_mut_ptr());
        let lanes = |at: usize| ((1u32 << (n - at).min(16)) - 1) as __mmask16;
        let scale = _mm512_set1_ps(scale);
        let mut max = _mm512_set1_ps(f32::MIN);
        for at in (0..n).step_by(16) {
            let some = lanes(at);
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
        }
        let max = _mm512_set1_ps(_mm512_reduce_max_ps(max));
        let mut sum = _mm512_setzero_ps();
        for at in (0..n).step_by(16) {
            let some = lanes(at);
            // SAFETY: as above.
            unsafe {
                let v = exp(_mm512_sub_ps(_mm512_maskz_loadu_ps(some, x.add(at)), max));
                sum = _mm512_mask_add_ps(sum, some, sum, v);
                _mm512_mask_storeu_ps(x.add(at), some, v);
            }
        }
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
    fn masked_rows_are_uniform_as_in_alphafold() {
        let mut x = [0.5f32, -0.25, 0.125];
        let inverse = softmax_row(&mut x, 1.0, &[], &[-1e9; 3]);
        scale_row(&mut x, inverse);
        assert!(x.iter().all(|v| (v - 1.0 / 3.0).abs() < 1e-6), "{x:?}");
    }

    #[test]
    fn exponentials_are_good_to_two_ulp_of_the_largest() {
        // The first is the largest, so that its power is 1; the others are read one by one.
        for i in 0..86_000 {
            let x = i as f32 * -1e-3;
            for row in [softmax_row, portable] {
                let mut logits = [0.0, x];
                row(&mut logits, 1.0, &[], &[0.0; 2]);
                let want = (x as f64).exp();
                let error = (logits[1] as f64 - want).abs() / want;
                assert!(
                    logits[0] == 1.0 && error < 2.4e-7 + 2e-8 * -(x as f64),
                    "exp({x}) = {}, want {want}",
                    logits[1]
                );
            }
        }
    }
}
