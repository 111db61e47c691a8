//! Gradients of one sample, read into flat f32 vectors: norms, sums, checks.

use crate::error::Result;
use crate::task::Backward;
use crate::weights::{Weights, with_values};
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use rayon::prelude::*;
use std::ops::Range;

/// Elements whose squares are summed in one go: fixed, so that a norm does not depend on the threads.
const BLOCK: usize = 1 << 14;

/// Σ x², in f64, the same for any number of threads.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    let squares = |block: &[f32]| {
        // Eight sums side by side, or the additions wait for each other.
        let mut sums = [0.0f64; 8];
        let (eights, rest) = block.as_chunks::<8>();
        for eight in eights {
            for (sum, &x) in sums.iter_mut().zip(eight) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        let rest: f64 = rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        sums.iter().sum::<f64>() + rest
    };
    if values.len() <= 4 * BLOCK {
        return values.chunks(BLOCK).map(squares).sum();
    }
    values.par_chunks(BLOCK).map(squares).collect::<Vec<_>>().into_iter().sum()
}

/// The same over some ranges of a vector.
pub(crate) fn sum_of_squares_in(values: &[f32], ranges: &[Range<usize>]) -> f64 {
    ranges.iter().map(|r| sum_of_squares(&values[r.clone()])).sum()
}

/// The gradient of `loss`, taken on the calling thread, whose stack must be large: candle walks the tape by recursion.
pub(crate) fn backward(loss: &Tensor, how: Option<Backward>) -> Result<GradStore> {
    Ok(how.map_or_else(|| loss.backward(), |how| how(loss))?)
}

/// Σ g² over all parameters, or none if no parameter has a gradient. Not finite if any element is not.
pub(crate) fn norm_squared(weights: &Weights, grads: &GradStore) -> Result<Option<f64>> {
    let mut sum = None;
    for var in weights.vars() {
        if let Some(grad) = grads.get(var.as_tensor()) {
            *sum.get_or_insert(0.0) += with_values(grad, sum_of_squares)?;
        }
    }
    Ok(sum)
}

/// `sums` += `factor` · g, parameter after parameter; what has no gradient adds nothing.
pub(crate) fn add(weights: &Weights, grads: &GradStore, factor: f32, sums: &mut [f32]) -> Result<()> {
    let mut start = 0;
    for var in weights.vars() {
        let sums = &mut sums[start..start + var.elem_count()];
        start += sums.len();
        if let Some(grad) = grads.get(var.as_tensor()) {
            with_values(grad, |grad| {
                let add = |(sums, grad): (&mut [f32], &[f32])| {
                    for (sum, g) in sums.iter_mut().zip(grad) {
                        *sum += factor * g;
                    }
                };
                sums.par_chunks_mut(BLOCK).zip(grad.par_chunks(BLOCK)).for_each(add);
            })?;
        }
    }
    Ok(())
}

/// What a gradient of norm `norm` is multiplied by so that it is at most `limit` (torch's `clip_grad_norm_`).
pub(crate) fn clip(norm: f64, limit: Option<f64>) -> f64 {
    limit.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use std::collections::BTreeMap;

    #[test]
    fn sums_do_not_depend_on_threads() {
        let values: Vec<f32> = (0..5 * BLOCK + 13).map(|i| (i % 1000) as f32 * 1e-3 - 0.4).collect();
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_of_squares(&values))
        };
        assert_eq!(on(1), on(3));
        let plain: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        assert!((on(1) / plain - 1.0).abs() < 1e-12);
        assert!(!sum_of_squares(&[1.0, f32::NAN]).is_finite());
        assert!(!sum_of_squares(&[f32::INFINITY; 20]).is_finite());
    }

    #[test]
    fn clipping_never_lengthens() {
        assert_eq!(clip(0.5, Some(1.0)), 1.0);
        assert!((clip(4.0, Some(1.0)) - 0.25).abs() < 1e-6);
        assert_eq!(clip(1e9, None), 1.0);
        assert_eq!(clip(0.0, Some(1.0)), 1.0);
    }

    #[test]
    fn parameters_without_gradient_add_nothing() {
        let tensor = |v: &[f32]| Tensor::new(v, &Device::Cpu).unwrap();
        let weights = Weights::new(BTreeMap::from([
            ("a".into(), tensor(&[1., 2., 3.])),
            ("b".into(), tensor(&[4., 5.])),
        ]))
        .unwrap();
        let b = weights.get("b").unwrap().as_tensor();
        let grads = backward(&b.sqr().unwrap().sum_all().unwrap(), None).unwrap();
        assert_eq!(norm_squared(&weights, &grads).unwrap(), Some(164.0));
        let mut sums = vec![1.0; 5];
        add(&weights, &grads, 0.5, &mut sums).unwrap();
        assert_eq!(sums, [1., 1., 1., 5., 6.]);
        let none = backward(&tensor(&[1.0]).sum_all().unwrap(), None).unwrap();
        assert_eq!(norm_squared(&weights, &none).unwrap(), None);
    }
}
