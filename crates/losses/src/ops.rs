//! Tensor pieces the losses share. All differentiable, on any device, in f32.

use crate::Result;
use crate::error::{expect_len, expect_shape};
use candle_core::{D, DType, Device, Tensor};

/// Flat constants as a tensor of `shape`.
pub(crate) fn constant(values: &[f32], shape: &[usize], device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_slice(values, shape, device)?)
}

/// A loss that nothing contributes to: a constant without gradient.
pub(crate) fn zero(device: &Device) -> Result<Tensor> {
    Ok(Tensor::zeros((), DType::F32, device)?)
}

/// Prediction tensor of a known shape, in f32.
pub(crate) fn input(name: &'static str, tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
    expect_shape(name, tensor, shape)?;
    Ok(tensor.to_dtype(DType::F32)?.contiguous()?)
}

/// Numbers of a tensor, cut from the tape.
pub(crate) fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.detach().to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// Indices of nonzero entries.
pub(crate) fn present(mask: &[f32]) -> Vec<u32> {
    (0u32..).zip(mask).filter(|(_, m)| **m != 0.0).map(|(i, _)| i).collect()
}

/// Rows of `[n, ..]` by index; the tensor itself where all are asked for in order.
pub(crate) fn rows(tensor: &Tensor, indices: &[u32]) -> Result<Tensor> {
    if indices.len() == tensor.dim(0)? && indices.iter().enumerate().all(|(i, at)| i == *at as usize) {
        return Ok(tensor.clone());
    }
    Ok(tensor.index_select(&Tensor::new(indices, tensor.device())?, 0)?)
}

/// Sum over all of `[n, m]`, in two steps so that f32 keeps its digits.
pub(crate) fn sum2(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.sum(1)?.sum_all()?)
}

/// Edges of `bins` bins: `bins - 1` equal steps from `first` to `last`.
pub(crate) fn linspace(first: f64, last: f64, bins: usize) -> Vec<f32> {
    let steps = bins.saturating_sub(2).max(1) as f64;
    (0..bins.saturating_sub(1)).map(|i| (first + (last - first) * i as f64 / steps) as f32).collect()
}

/// Softmax cross entropy of `logits` [.., c] against one class an entry, averaged with weights:
/// Σ w·e / (ε + Σ w). Entries of weight 0 are left out of the computation.
/// - `classes` flat, below c
/// - `weights` flat
pub(crate) fn mean_cross_entropy(
    name: &'static str,
    logits: &Tensor,
    classes: &[u32],
    weights: &[f32],
    epsilon: f64,
) -> Result<Tensor> {
    let (shape, c) = (logits.dims().to_vec(), logits.dim(D::Minus1)?);
    expect_len(name, classes, &shape[..shape.len() - 1])?;
    expect_len(name, weights, &shape[..shape.len() - 1])?;
    let asked = present(weights);
    if asked.is_empty() {
        return zero(logits.device());
    }
    let device = logits.device();
    let logits = rows(&logits.to_dtype(DType::F32)?.reshape((classes.len(), c))?, &asked)?; // [n, c]
    let pick = |from: &[u32]| asked.iter().map(|i| from[*i as usize]).collect::<Vec<u32>>();
    let class = Tensor::from_vec(pick(classes), (asked.len(), 1), device)?;
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(1)?)?;
    let log_z = shifted.exp()?.sum_keepdim(1)?.log()?; // [n, 1]
    let errors = (log_z - shifted.gather(&class, 1)?)?;
    let asked_weights: Vec<f32> = asked.iter().map(|i| weights[*i as usize]).collect();
    let total: f64 = asked_weights.iter().map(|w| f64::from(*w)).sum();
    let errors = if asked_weights.iter().all(|w| *w == 1.0) {
        errors
    } else {
        (errors * constant(&asked_weights, &[asked.len(), 1], device)?)?
    };
    Ok((errors.sum_all()? * (1.0 / (epsilon + total)))?)
}

/// ln(1 + e^x), accurate to f32 for every x.
pub(crate) fn softplus(x: &Tensor) -> Result<Tensor> {
    // max(x, 0) + log1p(u), u = e^-|x| in (0, 1]. ln(1 + u) = 2 artanh(s), s = u / (2 + u) ≤ 1/3, and seven terms
    // of its series are exact to 1e-8; ln itself would lose small u against 1.
    let u = x.abs()?.neg()?.exp()?;
    let s = (&u / (&u + 2.0)?)?;
    let s2 = s.sqr()?;
    let mut series = (&s2 * (1.0 / 13.0))?;
    for n in [11.0, 9.0, 7.0, 5.0, 3.0] {
        series = ((series + 1.0 / n)? * &s2)?;
    }
    let log1p = ((series + 1.0)? * (s * 2.0)?)?;
    Ok((x.relu()? + log1p)?)
}

/// Rotation matrices [n, 3, 3] of unit quaternions (w, x, y, z) [n, 4]. As in AlphaFold, a quaternion that is
/// not of unit length is not normalised.
pub(crate) fn quaternion_to_rotation(q: &Tensor) -> Result<Tensor> {
    let n = q.dim(0)?;
    let products = q.reshape((n, 4, 1))?.broadcast_mul(&q.reshape((n, 1, 4))?)?.reshape((n, 16))?;
    Ok(products
        .matmul(&constant(QUATERNION_PRODUCTS.as_flattened(), &[16, 9], q.device())?)?
        .reshape((n, 3, 3))?)
}

/// As [`quaternion_to_rotation`], for one quaternion and plain numbers.
pub(crate) fn rotation_of([w, x, y, z]: [f32; 4]) -> [[f32; 3]; 3] {
    [
        [w * w + x * x - y * y - z * z, 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), w * w - x * x + y * y - z * z, 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ]
}

/// Row 4·a + b: what the product q_a·q_b adds to each of the nine matrix entries.
const QUATERNION_PRODUCTS: [[f32; 9]; 16] = {
    let mut table = [[0.0; 9]; 16];
    table[0] = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]; // ww
    table[5] = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0]; // xx
    table[10] = [-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0]; // yy
    table[15] = [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0]; // zz
    table[6] = [0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]; // xy
    table[7] = [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]; // xz
    table[11] = [0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 2.0, 0.0]; // yz
    table[1] = [0.0, 0.0, 0.0, 0.0, 0.0, -2.0, 0.0, 2.0, 0.0]; // wx
    table[2] = [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, -2.0, 0.0, 0.0]; // wy
    table[3] = [0.0, -2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]; // wz
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;

    #[test]
    fn softplus_keeps_small_values_and_slopes() {
        let x = [-30.0f32, -10.0, -1.0, 0.0, 0.5, 12.0, 90.0];
        let var = Var::new(&x, &Device::Cpu).unwrap();
        let y = softplus(&var).unwrap();
        let grad = y.sum_all().unwrap().backward().unwrap().remove(&var).unwrap().to_vec1::<f32>().unwrap();
        for ((x, y), g) in x.iter().map(|x| f64::from(*x)).zip(y.to_vec1::<f32>().unwrap()).zip(grad) {
            let expected = if x > 0.0 { x + (-x).exp().ln_1p() } else { x.exp().ln_1p() };
            assert!((f64::from(y) / expected - 1.0).abs() < 3e-7, "softplus({x}) = {y}, expected {expected}");
            let slope = 1.0 / (1.0 + (-x).exp());
            assert!((f64::from(g) - slope).abs() < 3e-7, "slope at {x}: {g}, expected {slope}");
        }
    }

    #[test]
    fn quaternions_agree_with_plain_numbers() {
        let q = [[0.5f32, -0.1, 0.7, 0.5], [1.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.9]];
        let tensor = quaternion_to_rotation(&Tensor::new(&q, &Device::Cpu).unwrap()).unwrap();
        for (got, q) in tensor.to_vec3::<f32>().unwrap().iter().zip(q) {
            for (row, expected) in got.iter().zip(rotation_of(q)) {
                for (x, e) in row.iter().zip(expected) {
                    assert!((x - e).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn cross_entropy_leaves_masked_entries_alone() {
        let logits =
            Var::new(&[[1.0f32, 2.0, 0.5], [f32::NAN, 0.0, 0.0], [0.0, 0.0, 9.0]], &Device::Cpu).unwrap();
        let loss = mean_cross_entropy("test", &logits, &[1, 0, 2], &[1.0, 0.0, 0.5], 0.0).unwrap();
        let first = -(2.0f64.exp() / (1.0f64.exp() + 2.0f64.exp() + 0.5f64.exp())).ln();
        let last = -(9.0f64.exp() / (9.0f64.exp() + 2.0)).ln();
        let expected = (first + 0.5 * last) / 1.5;
        assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - expected).abs() < 1e-6);
        let grad = loss.backward().unwrap().remove(&logits).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(grad[1], [0.0; 3]);
        assert!(grad[0][1] < 0.0 && grad[0][0] > 0.0);
    }

    #[test]
    fn edges_are_evenly_spaced() {
        assert_eq!(linspace(0.0, 31.0, 64)[..3], [0.0, 0.5, 1.0]);
        assert_eq!(linspace(0.0, 31.0, 64).len(), 63);
        assert_eq!(linspace(2.3125, 21.6875, 64).last(), Some(&21.6875));
    }
}
