//! Layer norm of one row, and of many.

#[cfg(target_arch = "x86_64")]
mod avx512;

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
                Number::F32 => avx512::layer_norm(x, scale, offset, out),
                Number::Bf16 => avx512::layer_norm_in_pairs(x, scale, offset, out),
            }
        };
    }
    assert!(number == Number::F32, "bf16 without its instructions");
    portable(x, scale, offset, out);
}

/// [`layer_norm_row_as`] of the rows `x(0)..x(rows)`, to the same bits, into consecutive rows of `out`.
///
/// # Panics  if the lengths differ.
pub fn layer_norm_rows_as<'a>(
    number: Number,
    rows: usize,
    x: impl Fn(usize) -> &'a [f32],
    scale: &[f32],
    offset: &[f32],
    out: &mut [f32],
) {
    let n = scale.len();
    assert!(offset.len() == n && out.len() == rows * n);
    #[cfg(target_arch = "x86_64")]
    let done =
        if level() == Level::Avx512 { avx512::fours(number, rows, &x, (scale, offset), out) } else { 0 };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for row in done..rows {
        layer_norm_row_as(number, x(row), scale, offset, &mut out[row * n..][..n]);
    }
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

    #[test]
    fn many_rows_are_as_one() {
        for number in [Number::F32, Number::bf16_if_fast()] {
            for (rows, n) in [(1usize, 5usize), (3, 16), (4, 1), (7, 33), (21, 64), (34, 130)] {
                let x: Vec<f32> =
                    (0..rows * n).map(|i| ((i * 7919 % 1013) as f32).sin() * 3.0 + 1.0).collect();
                let scale: Vec<f32> = (0..n).map(|i| 1.0 + 0.01 * i as f32).collect();
                let offset: Vec<f32> = (0..n).map(|i| -0.5 + 0.02 * i as f32).collect();
                let (mut want, mut got) = (vec![0.25; rows * n], vec![0.25; rows * n]);
                for (x, want) in x.chunks_exact(n).zip(want.chunks_exact_mut(n)) {
                    layer_norm_row_as(number, x, &scale, &offset, want);
                }
                let row = |i: usize| &x[i * n..][..n];
                layer_norm_rows_as(number, rows, row, &scale, &offset, &mut got);
                let bits = |x: &[f32]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&got), bits(&want), "{rows} rows of {n}, {number:?}");
            }
        }
    }
}
