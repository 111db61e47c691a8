//! Functions of one row: gating, sums.

use super::level::dispatch;

/// Lanes of the partial sums; a fixed number, so that sums do not depend on the machine's width.
pub(super) const LANES: usize = 16;

/// e^x to about 1 ulp for x in [-87, 88]; smaller x give the smallest normal number, not zero.
#[inline(always)]
pub(crate) fn exp_lane<const FMA: bool>(x: f32) -> f32 {
    let fma = |a: f32, b: f32, c: f32| if FMA { a.mul_add(b, c) } else { a * b + c };
    let x = x.clamp(-87.0, 88.0);
    // Adding and subtracting 1.5·2²³ rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let n = fma(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    // ln 2 in two parts, so that x − n·ln 2 keeps its low bits.
    let r = fma(n, -0.693_359_4, x);
    let r = fma(n, 2.121_944_4e-4, r);
    // Minimax polynomial of Cephes expf on |r| ≤ ln 2 / 2.
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = fma(p, r, c);
    }
    let y = fma(p * r, r, r) + 1.0;
    // SAFETY: |n| ≤ 127 after the clamp.
    let scale = f32::from_bits(((unsafe { n.to_int_unchecked::<i32>() }.wrapping_add(127)) << 23) as u32);
    y * scale
}

/// Sum of a row in `LANES` partial sums.
#[inline(always)]
pub(super) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut acc = [0f32; LANES];
    let chunks = x.chunks_exact(LANES);
    let tail = chunks.remainder();
    for c in chunks {
        for l in 0..LANES {
            acc[l] += f(c[l]);
        }
    }
    for (l, &v) in tail.iter().enumerate() {
        acc[l] += f(v);
    }
    total(acc)
}

/// Sum of all lanes, halves onto halves.
#[inline(always)]
pub(super) fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut n = LANES;
    while n > 1 {
        n /= 2;
        for l in 0..n {
            lanes[l] += lanes[l + n];
        }
    }
    lanes[0]
}

dispatch! {
    /// `row *= factor`.
    pub fn scale_row[fma, exp](row: &mut [f32], factor: f32) {
        for v in row.iter_mut() {
            *v *= factor;
        }
    }
}

dispatch! {
    /// `out *= sigmoid(gate + bias)`, elementwise.
    ///
    /// # Panics  if the lengths differ.
    pub fn mul_sigmoid[fma, exp](out: &mut [f32], gate: &[f32], bias: &[f32]) {
        let n = out.len();
        assert!(gate.len() == n && bias.len() == n);
        for i in 0..n {
            out[i] /= 1.0 + exp(-(gate[i] + bias[i]));
        }
    }
}

dispatch! {
    /// `out = (x + x_bias)·sigmoid(gate + gate_bias)·mask` for one row.
    ///
    /// # Panics  if the lengths differ.
    pub fn gate_rows[fma, exp](x: &[f32], x_bias: &[f32], gate: &[f32], gate_bias: &[f32], mask: f32, out: &mut [f32]) {
        let n = out.len();
        assert!(x.len() == n && x_bias.len() == n && gate.len() == n && gate_bias.len() == n);
        for i in 0..n {
            out[i] = mask * (x[i] + x_bias[i]) / (1.0 + exp(-(gate[i] + gate_bias[i])));
        }
    }
}

dispatch! {
    /// `row += bias`.
    ///
    /// # Panics  if the lengths differ.
    pub fn add_bias[fma, exp](row: &mut [f32], bias: &[f32]) {
        assert!(row.len() == bias.len());
        for i in 0..row.len() {
            row[i] += bias[i];
        }
    }
}

dispatch! {
    /// `out = a + b`.
    ///
    /// # Panics  if the lengths differ.
    pub fn add_into[fma, exp](a: &[f32], b: &[f32], out: &mut [f32]) {
        assert!(a.len() == out.len() && b.len() == out.len());
        for i in 0..out.len() {
            out[i] = a[i] + b[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_good_to_two_ulp() {
        for i in -86_000..88_000 {
            let x = i as f32 * 1e-3;
            let want = (x as f64).exp();
            for got in [exp_lane::<true>(x), exp_lane::<false>(x)] {
                let err = (got as f64 - want).abs() / want;
                assert!(err < 2.4e-7, "exp({x}) = {got}, want {want}");
            }
        }
    }
}
