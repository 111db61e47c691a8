//! Softmax of one row, without its division.

#[cfg(target_arch = "x86_64")]
mod bf16;

use super::number::Number;
use super::vector::{Vector, by_vectors, load, on_vectors, store};

/// e^(x − max) in place of `logits`, where x = logits·scale + bias + mask. `bias` may be empty. Returns 1 / Σ,
/// for the caller to multiply the weighted sum by.
///
/// # Panics  if the lengths differ.
pub fn softmax_row(logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
    softmax_row_as(Number::F32, logits, scale, bias, mask)
}

/// As [`softmax_row`]; in bf16 the powers lie as pairs in the first half of `logits`, an odd one out with 0.
///
/// # Panics  as [`softmax_row`], or for bf16 on a machine without its instructions.
pub fn softmax_row_as(number: Number, logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
    let n = logits.len();
    assert!(mask.len() == n && (bias.is_empty() || bias.len() == n));
    // SAFETY: the lengths agree, and bf16 is only asked for where it is.
    unsafe {
        match number {
            Number::F32 => softmax(logits, scale, bias, mask),
            #[cfg(target_arch = "x86_64")]
            Number::Bf16 => bf16::softmax(logits, scale, bias, mask),
            #[cfg(not(target_arch = "x86_64"))]
            Number::Bf16 => unreachable!("bf16 without its instructions"),
        }
    }
}

on_vectors! {
    /// # Safety  `mask` is as long as `logits`, `bias` too if not empty.
    unsafe fn softmax<V>(logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
        // SAFETY: as the caller's.
        unsafe {
            let max = finish_logits::<V>(logits, scale, bias, mask);
            powers::<V>(logits, max)
        }
    }
}

// Minimax polynomials of (2^r − 1) / r on |r| ≤ ½, highest power first.

/// To 9e-8 of 2^r.
#[allow(clippy::approx_constant)] // the last is not ln 2 but what fits best
pub(super) const FINE: [f32; 5] = [1.326_469_8e-3, 9.671_509e-3, 5.550_734e-2, 2.402_224_2e-1, 6.931_47e-1];
/// To 1e-4 of 2^r, a fortieth of a bf16's last bit.
#[cfg(target_arch = "x86_64")]
pub(super) const COARSE: [f32; 3] = [5.500_858e-2, 2.422_103_7e-1, 6.932_829e-1];

/// The least x whose e^x every level has.
const LEAST: f32 = -87.0;
/// What f32 leaves of log₂ e.
const LOG2_E_LOW: f32 = 1.925_963e-8;

/// e^x for x ≤ 0, with [`FINE`] to two units of the last place. Below [`LEAST`] at most what it is there.
///
/// # Safety  as [`Vector`] says.
#[inline(always)]
unsafe fn exp<V: Vector, const N: usize>(x: V, polynomial: &[f32; N]) -> V {
    // SAFETY: as the caller's.
    unsafe {
        let log2_e = V::splat(std::f32::consts::LOG2_E);
        let x = if V::ANY_POWER { x } else { x.max(V::splat(LEAST)) };
        let n = x.mul(log2_e).round();
        let r = if !V::FUSED {
            // ln 2 in two parts, so that x − n·ln 2 keeps its low bits.
            let r = n.mul_add(V::splat(-0.693_359_4), x);
            n.mul_add(V::splat(2.121_944_4e-4), r).mul(log2_e)
        } else if N == FINE.len() {
            x.mul_add(V::splat(LOG2_E_LOW), x.mul_sub(log2_e, n))
        } else {
            x.mul_sub(log2_e, n)
        };
        power(n, r, polynomial)
    }
}

/// 2^x for x ≤ 0, as exact as [`exp`].
///
/// # Safety  as [`Vector`] says.
#[inline(always)]
pub(super) unsafe fn power_of_two<V: Vector, const N: usize>(x: V, polynomial: &[f32; N]) -> V {
    // SAFETY: as the caller's.
    unsafe {
        let x = if V::ANY_POWER { x } else { x.max(V::splat(LEAST * std::f32::consts::LOG2_E)) };
        let n = x.round();
        power(n, x.sub(n), polynomial)
    }
}

/// 2^(n + r) for a whole n and |r| ≤ ½.
///
/// # Safety  as [`Vector`] says.
#[inline(always)]
unsafe fn power<V: Vector, const N: usize>(n: V, r: V, polynomial: &[f32; N]) -> V {
    // SAFETY: as the caller's.
    unsafe {
        let mut p = V::splat(polynomial[0]);
        for c in &polynomial[1..] {
            p = p.mul_add(r, V::splat(*c));
        }
        p.mul_add(r, V::splat(1.0)).times_two_to(n)
    }
}

/// Scales and adds to the logits in place; the largest.
///
/// # Safety  as [`softmax`] and [`Vector`] say.
#[inline(always)]
unsafe fn finish_logits<V: Vector>(logits: &mut [f32], scale: f32, bias: &[f32], mask: &[f32]) -> f32 {
    let (n, x) = (logits.len(), logits.as_mut_ptr());
    // SAFETY: as the caller's; what is read lies within the lengths.
    unsafe {
        let scale = V::splat(scale);
        let mut max = V::splat(f32::MIN);
        by_vectors!(V, n, |at, lanes| {
            let m: V = load(mask.as_ptr().add(at), lanes);
            let v: V = load(x.add(at), lanes);
            let v = if bias.is_empty() {
                v.mul_add(scale, m)
            } else {
                v.mul_add(scale, load(bias.as_ptr().add(at), lanes)).add(m)
            };
            store(v, x.add(at), lanes);
            // Lanes beyond the end take no part.
            let v = if lanes == V::LANES { v } else { v.and_beyond(lanes, f32::MIN) };
            max = v.max(max);
        });
        max.largest()
    }
}

/// Powers in place of `x`; 1 over their sum.
///
/// # Safety  as [`Vector`] says.
#[inline(always)]
unsafe fn powers<V: Vector>(x: &mut [f32], max: f32) -> f32 {
    let (n, x) = (x.len(), x.as_mut_ptr());
    // SAFETY: as the caller's; what is read lies within the length.
    unsafe {
        let (max, mut sum) = (V::splat(max), V::splat(0.0));
        by_vectors!(V, n, |at, lanes| {
            let v = exp(load::<V>(x.add(at), lanes).sub(max), &FINE);
            store(v, x.add(at), lanes);
            let v = if lanes == V::LANES { v } else { v.and_beyond(lanes, 0.0) };
            sum = sum.add(v);
        });
        1.0 / sum.sum()
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
            let mut logits = [0.0, x];
            softmax_row(&mut logits, 1.0, &[], &[0.0; 2]);
            let want = (x as f64).exp();
            let error = (logits[1] as f64 - want).abs() / want;
            assert!(logits[0] == 1.0 && error < 2.4e-7, "exp({x}) = {}, want {want}", logits[1]);
        }
    }
}
