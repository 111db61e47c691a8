//! Gradients of functions of one row: layer norm, softmax, gating, ReLU.

use super::level::dispatch;
use super::rows::{LANES, total};

/// Σ f(x, y) over two rows in `LANES` partial sums.
#[inline(always)]
fn sum(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut acc = [0f32; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let tail = xs.remainder().iter().zip(ys.remainder());
    for (a, b) in xs.zip(ys) {
        for l in 0..LANES {
            acc[l] += f(a[l], b[l]);
        }
    }
    for (l, (&a, &b)) in tail.enumerate() {
        acc[l] += f(a, b);
    }
    total(acc)
}

dispatch! {
    /// Gradient of `layer_norm_row` at `x`: `dx` is replaced, `dscale` and `doffset` are added to; these
    /// two may be empty.
    ///
    /// # Panics  if the lengths differ.
    pub fn layer_norm_backward_row[fma, exp](
        x: &[f32],
        scale: &[f32],
        grad: &[f32],
        dx: &mut [f32],
        dscale: &mut [f32],
        doffset: &mut [f32],
    ) {
        let n = x.len();
        assert!(scale.len() == n && grad.len() == n && dx.len() == n);
        assert!((dscale.is_empty() || dscale.len() == n) && (doffset.is_empty() || doffset.len() == n));
        let count = n as f32;
        let mean = sum(x, x, |v, _| v) / count;
        let var = sum(x, x, |v, _| (v - mean) * (v - mean)) / count;
        let inv = 1.0 / (var + 1e-5).sqrt();
        // With y the normalised x and g = grad·scale: dx = (g − mean(g) − y·mean(g·y))·inv.
        for i in 0..n {
            dx[i] = grad[i] * scale[i];
        }
        let g_mean = sum(dx, x, |g, _| g) / count;
        let gy_mean = sum(dx, x, |g, v| g * ((v - mean) * inv)) / count;
        for i in 0..n {
            let y = (x[i] - mean) * inv;
            dx[i] = fma(-y, gy_mean, dx[i] - g_mean) * inv;
        }
        if !dscale.is_empty() {
            for i in 0..n {
                dscale[i] = fma(grad[i], (x[i] - mean) * inv, dscale[i]);
            }
        }
        if !doffset.is_empty() {
            for i in 0..n {
                doffset[i] += grad[i];
            }
        }
    }
}

dispatch! {
    /// Ends a softmax begun by `softmax_row` and goes back through it: `p` holds e^(x − max) and becomes
    /// the probabilities p·`inverse`; `grad` holds their gradient and becomes that of the logits, which is
    /// also added to `dbias` unless that is empty.
    ///
    /// # Panics  if the lengths differ.
    pub fn softmax_backward_row[fma, exp](p: &mut [f32], inverse: f32, grad: &mut [f32], dbias: &mut [f32]) {
        let n = p.len();
        assert!(grad.len() == n && (dbias.is_empty() || dbias.len() == n));
        for v in p.iter_mut() {
            *v *= inverse;
        }
        // Divided by Σp, which rounding keeps from being 1: else the logits' gradients would not add up to zero.
        let mean = sum(p, grad, |p, grad| p * grad) / sum(p, p, |p, _| p);
        for i in 0..n {
            grad[i] = p[i] * (grad[i] - mean);
        }
        if !dbias.is_empty() {
            for i in 0..n {
                dbias[i] += grad[i];
            }
        }
    }
}

dispatch! {
    /// Gradient of x·σ(gate + bias) to the gate, where `grad`, the gradient to x, is known: `gate` becomes
    /// its gradient, `x` the product.
    ///
    /// # Panics  if the lengths differ.
    pub fn gate_backward_row[fma, exp](x: &mut [f32], grad: &[f32], gate: &mut [f32], bias: &[f32]) {
        let n = x.len();
        assert!(grad.len() == n && gate.len() == n && bias.len() == n);
        for i in 0..n {
            // 1 − σ = e·σ without cancellation; σ itself is a factor of `grad` already.
            let e = exp(-(gate[i] + bias[i]));
            let open = 1.0 / (1.0 + e);
            gate[i] = grad[i] * x[i] * (e * open);
            x[i] *= open;
        }
    }
}

dispatch! {
    /// `grad = 0` where `y`, what ReLU gave, is 0.
    ///
    /// # Panics  if the lengths differ.
    pub fn relu_backward_row[fma, exp](y: &[f32], grad: &mut [f32]) {
        let n = y.len();
        assert!(grad.len() == n);
        for i in 0..n {
            grad[i] = if y[i] > 0.0 { grad[i] } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{layer_norm_row, mul_sigmoid, scale_row, softmax_row};

    fn wave(n: usize, step: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * step).sin()).collect()
    }

    /// Slope of `f` along `d` at `x`, by central differences, and that given by `gradient`.
    fn slopes(x: &[f32], d: &[f32], gradient: &[f32], f: impl Fn(&[f32]) -> f64) -> (f64, f64) {
        let at = |t: f32| f(&x.iter().zip(d).map(|(x, d)| x + t * d).collect::<Vec<_>>());
        let along = gradient.iter().zip(d).map(|(a, b)| (a * b) as f64).sum();
        ((at(4e-3) - at(-4e-3)) / 8e-3, along)
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| *a as f64 * *b as f64).sum()
    }

    #[test]
    fn layer_norm_slopes() {
        for n in [2usize, 17, 33] {
            let (x, scale, offset) = (wave(n, 0.9), wave(n, 1.7), wave(n, 0.3));
            let (grad, d) = (wave(n, 2.3), wave(n, 0.7));
            let (mut dx, mut ds, mut off) = (vec![9.0; n], vec![1.0; n], vec![2.0; n]);
            layer_norm_backward_row(&x, &scale, &grad, &mut dx, &mut ds, &mut off);
            let value = |x: &[f32], scale: &[f32]| {
                let mut y = vec![0.0; n];
                layer_norm_row(x, scale, &offset, &mut y);
                dot(&y, &grad)
            };
            let (slope, along) = slopes(&x, &d, &dx, |x| value(x, &scale));
            assert!((slope - along).abs() < 2e-3 * (1.0 + along.abs()), "{n}: {slope} {along}");
            ds.iter_mut().for_each(|v| *v -= 1.0);
            let (slope, along) = slopes(&scale, &d, &ds, |s| value(&x, s));
            assert!((slope - along).abs() < 2e-3 * (1.0 + along.abs()), "{n}: {slope} {along}");
            assert!(off.iter().zip(&grad).all(|(o, g)| (o - 2.0 - g).abs() < 1e-6));
        }
    }

    #[test]
    fn softmax_slopes() {
        for n in [1usize, 17, 33] {
            let (x, grad, d) = (wave(n, 0.9), wave(n, 2.3), wave(n, 0.7));
            let softmax = |x: &[f32]| {
                let mut p = x.to_vec();
                let inverse = softmax_row(&mut p, 1.0, &[], &vec![0.0; n]);
                (p, inverse)
            };
            let ((mut p, inverse), mut dx, mut bias) = (softmax(&x), grad.clone(), vec![1.0; n]);
            softmax_backward_row(&mut p, inverse, &mut dx, &mut bias);
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(bias.iter().zip(&dx).all(|(b, g)| *b == 1.0 + g));
            let (slope, along) = slopes(&x, &d, &dx, |x| {
                let (mut p, inverse) = softmax(x);
                scale_row(&mut p, inverse);
                dot(&p, &grad)
            });
            assert!((slope - along).abs() < 1e-3, "{n}: {slope} {along}");
        }
    }

    #[test]
    fn gate_slopes() {
        let n = 19;
        let (x, gate, bias, grad) = (wave(n, 0.9), wave(n, 1.7), wave(n, 0.3), wave(n, 2.3));
        let mut dx = grad.clone();
        mul_sigmoid(&mut dx, &gate, &bias);
        let (mut product, mut dgate) = (x.clone(), gate.clone());
        gate_backward_row(&mut product, &dx, &mut dgate, &bias);
        let value = |gate: &[f32]| {
            let mut y = x.clone();
            mul_sigmoid(&mut y, gate, &bias);
            y
        };
        assert!(value(&gate).iter().zip(&product).all(|(a, b)| (a - b).abs() < 1e-6));
        let (slope, along) = slopes(&gate, &wave(n, 0.7), &dgate, |g| dot(&value(g), &grad));
        assert!((slope - along).abs() < 1e-4, "{slope} {along}");
        // Where the gate is all but open its slope is e^−x, not what rounding leaves of 1 − σ.
        let (mut x, mut gate) = ([1.0], [30.0]);
        gate_backward_row(&mut x, &[1.0], &mut gate, &[0.0]);
        assert!((gate[0] / (-30f32).exp() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn relu_stops_what_was_cut() {
        let mut grad = [1.0, 2.0, 3.0];
        relu_backward_row(&[0.0, 5.0, 0.0], &mut grad);
        assert_eq!(grad, [0.0, 2.0, 0.0]);
    }
}
