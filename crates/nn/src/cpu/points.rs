//! Squared distances between one point set and many, as logits of attention, and their gradient.

use super::level::dispatch;

/// Lanes of the partial sums, as in the other functions of rows.
const LANES: usize = 16;

dispatch! {
    /// `logits[j] += weight·Σ_c (q[c] − keys[c, j])² + bias[j]`; rows of `keys`, one a coordinate, start every
    /// `stride` elements. The differences are squared and summed: |q|² − 2q·k + |k|² would cancel.
    ///
    /// # Panics  if the lengths differ or a row of keys is missing.
    pub fn point_logits_row[fma, exp](
        logits: &mut [f32],
        bias: &[f32],
        q: &[f32],
        keys: &[f32],
        stride: usize,
        weight: f32,
    ) {
        let n = logits.len();
        assert!(bias.len() == n && (q.is_empty() || (q.len() - 1) * stride + n <= keys.len()));
        let whole = n - n % LANES;
        for at in (0..whole).step_by(LANES) {
            let mut sum = [0f32; LANES];
            for (c, &q) in q.iter().enumerate() {
                let k: &[f32; LANES] = keys[c * stride + at..][..LANES].try_into().expect("as long");
                for l in 0..LANES {
                    let d = q - k[l];
                    sum[l] = fma(d, d, sum[l]);
                }
            }
            let x: &mut [f32; LANES] = (&mut logits[at..][..LANES]).try_into().expect("as long");
            let b: &[f32; LANES] = bias[at..][..LANES].try_into().expect("as long");
            for l in 0..LANES {
                x[l] = fma(weight, sum[l], x[l]) + b[l];
            }
        }
        for j in whole..n {
            let mut sum = 0f32;
            for (c, &q) in q.iter().enumerate() {
                let d = q - keys[c * stride + j];
                sum = fma(d, d, sum);
            }
            logits[j] = fma(weight, sum, logits[j]) + bias[j];
        }
    }
}

dispatch! {
    /// Gradient of [`point_logits_row`] to the points, given that of the logits: `dq[c]` is replaced,
    /// `dkeys[c, j]`, whose rows start every `dstride` elements, is added to. Returns the gradient to `weight`.
    ///
    /// # Panics  if a row is missing.
    pub fn point_logits_backward_row[fma, exp](
        grad: &[f32],
        q: &[f32],
        keys: &[f32],
        stride: usize,
        weight: f32,
        dq: &mut [f32],
        dkeys: &mut [f32],
        dstride: usize,
    ) -> f32 {
        let n = grad.len();
        assert!(dq.len() == q.len());
        let whole = n - n % LANES;
        let mut dweight = [0f32; LANES];
        for (c, &q) in q.iter().enumerate() {
            let (keys, dkeys) = (&keys[c * stride..][..n], &mut dkeys[c * dstride..][..n]);
            let mut sum = [0f32; LANES];
            for at in (0..whole).step_by(LANES) {
                let k: &[f32; LANES] = keys[at..][..LANES].try_into().expect("as long");
                let g: &[f32; LANES] = grad[at..][..LANES].try_into().expect("as long");
                let dk: &mut [f32; LANES] = (&mut dkeys[at..][..LANES]).try_into().expect("as long");
                for l in 0..LANES {
                    let d = q - k[l];
                    let gd = g[l] * d;
                    sum[l] += gd;
                    dweight[l] = fma(gd, d, dweight[l]);
                    dk[l] = fma(-2.0 * weight, gd, dk[l]);
                }
            }
            for j in whole..n {
                let d = q - keys[j];
                let gd = grad[j] * d;
                sum[j - whole] += gd;
                dweight[j - whole] = fma(gd, d, dweight[j - whole]);
                dkeys[j] = fma(-2.0 * weight, gd, dkeys[j]);
            }
            dq[c] = 2.0 * weight * sum.iter().sum::<f32>();
        }
        dweight.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_and_their_slopes() {
        let (coordinates, weight, step) = (5, -0.3f32, 1e-3f32);
        for n in [1usize, 17, 33] {
            let stride = n + 3;
            let wave = |n: usize, f: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * f).sin()).collect() };
            let (q, keys) = (wave(coordinates, 0.7), wave(coordinates * stride, 1.3));
            let (grad, bias) = (wave(n, 0.9), wave(n, 0.4));
            let value = |q: &[f32], keys: &[f32], weight: f32| {
                let mut logits = vec![0.5; n];
                point_logits_row(&mut logits, &bias, q, keys, stride, weight);
                logits
            };
            for (j, got) in value(&q, &keys, weight).iter().enumerate() {
                let d = (0..coordinates).map(|c| (q[c] - keys[c * stride + j]).powi(2)).sum::<f32>();
                assert!((got - (0.5 + weight * d + bias[j])).abs() < 1e-5, "{n} at {j}");
            }
            let (mut dq, mut dkeys) = (vec![9.0; coordinates], vec![1.0; coordinates * n]);
            let dweight = point_logits_backward_row(&grad, &q, &keys, stride, weight, &mut dq, &mut dkeys, n);
            let slope = |up: &[f32], down: &[f32]| {
                let sum: f32 = up.iter().zip(down).zip(&grad).map(|((a, b), g)| (a - b) * g).sum();
                sum / (2.0 * step)
            };
            let along = slope(&value(&q, &keys, weight + step), &value(&q, &keys, weight - step));
            assert!((dweight - along).abs() < 2e-2, "{n}: {dweight} {along}");
            for c in 0..coordinates {
                let moved = |by: f32| {
                    let mut q = q.clone();
                    q[c] += by;
                    value(&q, &keys, weight)
                };
                let along = slope(&moved(step), &moved(-step));
                assert!((dq[c] - along).abs() < 2e-2, "{n} q {c}: {} {along}", dq[c]);
                let j = n / 2;
                let moved = |by: f32| {
                    let mut keys = keys.clone();
                    keys[c * stride + j] += by;
                    value(&q, &keys, weight)
                };
                let along = slope(&moved(step), &moved(-step));
                assert!((dkeys[c * n + j] - 1.0 - along).abs() < 2e-2, "{n} key {c}");
            }
        }
    }
}
