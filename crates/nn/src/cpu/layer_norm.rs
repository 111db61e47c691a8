//! Layer norm of one row.

use super::level::dispatch;
#[cfg(target_arch = "x86_64")]
use super::level::{Level, level};
use super::number::Number;
use super::rows::sum;

/// Layer norm of one row, ε = 1e-5 inside the root, two passes for the variance.
///
/// # Panics  if the lengths differ.
pub fn layer_norm_row(x: &[f32], scale: &[f32], offset: &[f32], out: &mut [f32]) {
    layer_norm_row_as(Number::F32, x, scale, offset, out);
}

/// As [`layer_norm_row`]; in bf16 the result lies as pairs in the first half of `out`, an odd one out with 0.
///
/// # Panics  if the lengths differ.
pub fn layer_norm_row_as(number: Number, x: &[f32], scale: &[f32], offset: &[f32], out: &mut [f32]) {
    let n = x.len();
    assert!(scale.len() == n && offset.len() == n && out.len() == n);
    #[cfg(target_arch = "x86_64")]
    if level() == Level::Avx512 {
        // SAFETY: the machine has the instructions (bf16 is only asked for where it is), and the lengths agree.
        return unsafe {
            match number {
                Number::F32 => x86::layer_norm(x, scale, offset, out),
                Number::Bf16 => x86::layer_norm_in_pairs(x, scale, offset, out),
            }
        };
    }
    assert!(number == Number::F32, "bf16 without its instructions");
    portable(x, scale, offset, out);
}

dispatch! {
    /// [`layer_norm_row`] for any machine.
    pub fn portable[fma, exp](x: &[f32], scale: &[f32], offset: &[f32], out: &mut [f32]) {
        let n = x.len();
        let mean = sum(x, |v| v) / n as f32;
        let var = sum(x, |v| (v - mean) * (v - mean)) / n as f32;
        let inv = 1.0 / (var + 1e-5).sqrt();
        for i in 0..n {
            out[i] = fma((x[i] - mean) * inv, scale[i], offset[i]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// Lanes that `n` elements leave at `at`.
    fn lanes(n: usize, at: usize) -> __mmask16 {
        ((1u32 << n.saturating_sub(at).min(16)) - 1) as __mmask16
    }

    /// Mean of `x` and 1 / standard deviation.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn moments(x: &[f32]) -> (f32, f32) {
        let (n, from) = (x.len(), x.as_ptr());
        let count = n as f32;
        // Two sums at a time: an addition takes four cycles, and two begin in each.
        let mut sums = [_mm512_setzero_ps(); 2];
        let mut squares = sums;
        for at in (0..n).step_by(32) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: lanes beyond the end are not read.
                let v =
                    unsafe { _mm512_maskz_loadu_ps(lanes(n, at + 16 * i), from.wrapping_add(at + 16 * i)) };
                *sum = _mm512_add_ps(*sum, v);
            }
        }
        let mean = _mm512_reduce_add_ps(_mm512_add_ps(sums[0], sums[1])) / count;
        let middle = _mm512_set1_ps(mean);
        for at in (0..n).step_by(32) {
            for (i, squares) in squares.iter_mut().enumerate() {
                let some = lanes(n, at + 16 * i);
                // SAFETY: as above.
                let v = unsafe { _mm512_maskz_loadu_ps(some, from.wrapping_add(at + 16 * i)) };
                let v = _mm512_maskz_sub_ps(some, v, middle);
                *squares = _mm512_fmadd_ps(v, v, *squares);
            }
        }
        let variance = _mm512_reduce_add_ps(_mm512_add_ps(squares[0], squares[1])) / count;
        (mean, 1.0 / (variance + 1e-5).sqrt())
    }

    /// 16 elements of the result, 0 beyond the end.
    ///
    /// # Safety  all are of one length.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn normed(
        x: &[f32],
        (mean, inverse): (f32, f32),
        scale: &[f32],
        offset: &[f32],
        at: usize,
    ) -> __m512 {
        let some = lanes(x.len(), at);
        // SAFETY: lanes beyond the end are not read.
        unsafe {
            let load = |x: &[f32]| _mm512_maskz_loadu_ps(some, x.as_ptr().wrapping_add(at));
            let v = _mm512_mul_ps(_mm512_sub_ps(load(x), _mm512_set1_ps(mean)), _mm512_set1_ps(inverse));
            _mm512_maskz_fmadd_ps(some, v, load(scale), load(offset))
        }
    }

    /// # Safety  all are of one length.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn layer_norm(x: &[f32], scale: &[f32], offset: &[f32], out: &mut [f32]) {
        let moments = moments(x);
        for at in (0..x.len()).step_by(16) {
            // SAFETY: as the caller's; lanes beyond the end are not written.
            unsafe {
                let v = normed(x, moments, scale, offset, at);
                _mm512_mask_storeu_ps(out.as_mut_ptr().add(at), lanes(x.len(), at), v);
            }
        }
    }

    /// # Safety  all are of one length.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub unsafe fn layer_norm_in_pairs(x: &[f32], scale: &[f32], offset: &[f32], out: &mut [f32]) {
        let moments = moments(x);
        for at in (0..x.len()).step_by(32) {
            // SAFETY: as the caller's; lanes beyond the end are not written.
            unsafe {
                let half = |at: usize| normed(x, moments, scale, offset, at);
                let both = _mm512_cvtne2ps_pbh(half(at + 16), half(at));
                let some = lanes(x.len().div_ceil(2), at / 2);
                _mm512_mask_storeu_ps(
                    out.as_mut_ptr().add(at / 2),
                    some,
                    std::mem::transmute::<__m512bh, __m512>(both),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_f64() {
        for n in [1usize, 2, 15, 17, 33, 37, 130, 256] {
            let x: Vec<f32> = (0..n).map(|i| 100.0 + ((i * 29) % 31) as f32 * 0.1).collect();
            let scale: Vec<f32> = (0..n).map(|i| 1.0 + 0.01 * i as f32).collect();
            let offset: Vec<f32> = (0..n).map(|i| -0.5 + 0.02 * i as f32).collect();
            let mean = x.iter().map(|&v| v as f64).sum::<f64>() / n as f64;
            let var = x.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / n as f64;
            let want =
                |i: usize| (x[i] as f64 - mean) / (var + 1e-5).sqrt() * scale[i] as f64 + offset[i] as f64;
            for row in [layer_norm_row, portable] {
                let mut got = vec![f32::NAN; n];
                row(&x, &scale, &offset, &mut got);
                for (i, got) in got.iter().enumerate() {
                    assert!((*got as f64 - want(i)).abs() < 1e-4, "{i} of {n}: {got} {}", want(i));
                }
            }
            let number = Number::bf16_if_fast();
            let mut got = vec![f32::NAN; n];
            layer_norm_row_as(number, &x, &scale, &offset, &mut got);
            for i in (0..n).filter(|_| number == Number::Bf16) {
                let half = (got[i / 2].to_bits() >> (16 * (i % 2))) as u16;
                let got = half::bf16::from_bits(half).to_f64();
                assert!(
                    (got - want(i)).abs() < 1e-4 + want(i).abs() / 250.0,
                    "{i} of {n}: {got} {}",
                    want(i)
                );
            }
        }
    }
}
