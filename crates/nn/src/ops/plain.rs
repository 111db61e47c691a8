//! Differentiable building blocks in candle operations, for references and for small tensors.
//! candle-nn's own have no gradient.

use candle_core::{D, Result, Tensor};

/// 1 / (1 + e^−x).
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    // Through tanh, which saturates instead of overflowing: σ(x) = (tanh(x/2) + 1)/2.
    ((x * 0.5)?.tanh()? + 1.0)? * 0.5
}

/// max(x, 0), gradient 0 at 0.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    x.relu()
}

/// Softmax over the last dimension.
pub fn softmax_last(x: &Tensor) -> Result<Tensor> {
    let max = x.max_keepdim(D::Minus1)?.detach();
    let e = x.broadcast_sub(&max)?.exp()?;
    let total = e.sum_keepdim(D::Minus1)?;
    e.broadcast_div(&total)
}

/// Layer norm over the last dimension, ε = 1e-5.
pub(crate) fn layer_norm(x: &Tensor, scale: &Tensor, offset: &Tensor) -> Result<Tensor> {
    let mean = x.mean_keepdim(D::Minus1)?;
    let centred = x.broadcast_sub(&mean)?;
    let var = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(var + 1e-5)?.sqrt()?)?;
    normed.broadcast_mul(scale)?.broadcast_add(offset)
}

/// x·Wᵀ over the last dimension, W `[out, in]`.
pub(crate) fn matmul_t(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (out, inner) = w.dims2()?;
    let mut dims = x.dims().to_vec();
    let rows: usize = dims[..dims.len() - 1].iter().product();
    *dims.last_mut().expect("has a last dimension") = out;
    let w = w.to_dtype(x.dtype())?;
    x.contiguous()?.reshape((rows, inner))?.matmul(&w.t()?)?.reshape(dims)
}

/// x·Wᵀ + b.
pub(crate) fn linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    matmul_t(x, w)?.broadcast_add(b)
}

/// Additive mask as AlphaFold has it: 1e9·(mask − 1).
pub(crate) fn mask_bias(mask: &Tensor) -> Result<Tensor> {
    (mask - 1.0)? * 1e9
}

#[cfg(test)]
pub(crate) mod testing {
    //! Fused forward against the reference, and the gradient against finite differences.

    use crate::fused::{Fused, reference_backward};
    use crate::place::{Place, Source};
    use candle_core::{DType, Device, Tensor};

    /// Reproducible numbers in (−1, 1).
    pub fn noise(shape: &[usize], seed: u64) -> Tensor {
        let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let n: usize = shape.iter().product();
        let v: Vec<f32> = (0..n)
            .map(|_| {
                s ^= s << 13;
                s ^= s >> 7;
                s ^= s << 17;
                (s >> 40) as f32 / (1u32 << 23) as f32 - 1.0
            })
            .collect();
        Tensor::from_vec(v, shape, &Device::Cpu).unwrap()
    }

    /// ‖a − b‖ / ‖b‖.
    pub fn relative(a: &[f32], b: &[f32]) -> f64 {
        assert_eq!(a.len(), b.len());
        let d: f64 = a.iter().zip(b).map(|(x, y)| (*x as f64 - *y as f64).powi(2)).sum();
        let n: f64 = b.iter().map(|y| (*y as f64).powi(2)).sum();
        assert!(n > 0.0, "the reference is all zero");
        (d / n).sqrt()
    }

    /// With weights' matrices of bf16: close to the reference with the same weights (which rounds nothing else),
    /// and gradients of its sizes and close to its own.
    fn check_bf16(op: &impl Fused, inputs: &[Tensor], differentiable: &[usize]) {
        let of_bf16 = |(i, t): (usize, &Tensor)| {
            let matrix = i > 0 && differentiable.contains(&i) && t.rank() == 2;
            if matrix { t.to_dtype(DType::BF16).unwrap() } else { t.clone() }
        };
        let rounded: Vec<Tensor> = inputs.iter().enumerate().map(of_bf16).collect();
        let plain = op.reference(&rounded).unwrap();
        let mut fused = vec![f32::NAN; plain.elem_count()];
        let first = super::super::value(&rounded[0]).unwrap();
        op.forward(&rounded, Source::new(&first), Place::fresh(&mut fused)).unwrap();
        let values =
            |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let error = relative(&fused, &values(&plain));
        assert!(error < 8e-3, "{}: in bf16 the error is {error:e}", op.name());
        let wanted: Vec<bool> = (0..inputs.len()).map(|i| differentiable.contains(&i)).collect();
        let weights = noise(plain.dims(), 77);
        let grads = op.backward(&rounded, &weights, &wanted).unwrap();
        let want = reference_backward(op, &rounded, &weights, &wanted).unwrap();
        for (i, (got, want)) in grads.iter().zip(&want).enumerate().filter(|(i, _)| wanted[*i]) {
            let (got, want) = (got.as_ref().unwrap(), want.as_ref().unwrap());
            assert_eq!(got.dims(), want.dims());
            let error = relative(&values(got), &values(want));
            assert!(error < 2e-2, "{}: in bf16 gradient {i} is off by {error:e}", op.name());
        }
    }

    /// Fused ≡ reference to 2e-6, gradients of every input finite and as central differences say. The same,
    /// coarsely, with weights of bf16.
    pub fn check(op: &impl Fused, inputs: &[Tensor], differentiable: &[usize]) {
        let shape = op.shape(inputs).unwrap();
        let (mut fused, before) = (vec![0.0; shape.elem_count()], 0.25f32);
        let first = super::super::value(&inputs[0]).unwrap();
        op.forward(inputs, Source::new(&first), Place::fresh(&mut fused)).unwrap();
        let mut added = vec![before; shape.elem_count()];
        op.forward(inputs, Source::new(&first), Place::onto(&mut added)).unwrap();
        if op.may_alias() {
            let mut own = first.to_vec();
            let place = Place::onto(&mut own);
            op.forward(inputs, place.source(), place).unwrap();
            let same =
                own.iter().zip(&first[..]).zip(&fused).all(|((sum, x), f)| (sum - (x + f)).abs() < 1e-5);
            assert!(same, "{}: in place is not the sum", op.name());
        }
        drop(first);
        let same = added.iter().zip(&fused).all(|(sum, f)| (sum - (before + f)).abs() < 1e-5);
        assert!(same, "{}: added to what was there is not the sum", op.name());
        let reference = op.reference(inputs).unwrap();
        assert_eq!(shape.dims(), reference.dims(), "{} shape", op.name());
        let plain = reference.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let error = relative(&fused, &plain);
        assert!(error < 2e-6, "{}: fused differs from reference by {error:e}", op.name());
        check_bf16(op, inputs, differentiable);

        let weights = noise(reference.dims(), 77);
        let wanted: Vec<bool> = (0..inputs.len()).map(|i| differentiable.contains(&i)).collect();
        let grads = op.backward(inputs, &weights, &wanted).unwrap();
        let value = |inputs: &[Tensor]| -> f64 {
            let out = op.reference(inputs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let w = weights.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            out.iter().zip(&w).map(|(a, b)| *a as f64 * *b as f64).sum()
        };
        for &i in differentiable {
            let grad =
                grads[i].as_ref().unwrap_or_else(|| panic!("{}: input {i} got no gradient", op.name()));
            let g = grad.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(
                g.iter().all(|v| v.is_finite()) && g.iter().any(|v| *v != 0.0),
                "{} input {i}",
                op.name()
            );
            // One random direction each: its slope by central differences in f32.
            let direction = noise(inputs[i].dims(), 100 + i as u64);
            let step = 2e-3; // small, so that few ReLUs change sides
            let moved = |sign: f64| {
                let mut x = inputs.to_vec();
                x[i] = (&inputs[i] + (&direction * (sign * step)).unwrap()).unwrap();
                value(&x)
            };
            let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
            let d = direction.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let along: f64 = g.iter().zip(&d).map(|(a, b)| *a as f64 * *b as f64).sum();
            let scale = g.iter().map(|v| (*v as f64).powi(2)).sum::<f64>().sqrt();
            assert!(
                (slope - along).abs() < 1e-2 * scale.max(along.abs()),
                "{} input {i}: slope {slope}, gradient {along}",
                op.name()
            );
        }
    }
}
