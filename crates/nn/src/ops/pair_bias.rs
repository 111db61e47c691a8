//! Attention bias from the pair representation: layer norm, then one number a head.
//! AF2 Suppl. Alg. 7 line 3, Alg. 13 and 14 line 3.

use super::plain;
use super::sums::{Sums, gradients};
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, add_transposed_product, for_blocks, gemm, layer_norm_backward_row,
    layer_norm_row, layer_norm_rows_as, scratch, sum_parts, transpose,
};
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// Bias `[h, q, k]` from `z` `[r, r, c]`: LN(z)·Wᵀ with W `[h, c]`.
/// `swapped` reads z[k, q] for query q and key k (triangle attention around the ending node).
pub fn pair_bias(z: &Tensor, norm: (&Tensor, &Tensor), w: &Tensor, swapped: bool) -> Result<Tensor> {
    pair_bias_update(z, norm, w, swapped).tensor()
}

/// As [`pair_bias`], before it is computed.
pub fn pair_bias_update(z: &Tensor, norm: (&Tensor, &Tensor), w: &Tensor, swapped: bool) -> Update {
    Update::new(PairBias { swapped }, &[z, norm.0, norm.1, w])
}

struct PairBias {
    swapped: bool,
}

impl Fused for PairBias {
    fn name(&self) -> &'static str {
        "pair_bias"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (n, n1, c) = t[0].dims3()?;
        if n != n1 {
            candle_core::bail!("pair_bias: expected [r, r, {c}], got [{n}, {n1}, {c}]");
        }
        Ok((t[3].dim(0)?, n, n).into())
    }

    fn forward(&self, t: &[Tensor], z: Source<'_>, out: Place<'_>) -> Result<()> {
        let (n, _, c) = t[0].dims3()?;
        let h = t[3].dim(0)?;
        let [scale, offset, w] = super::values(&t[1..])?;
        let number = w.number();
        let w = number.pack_nk(&w, c, h);
        let step = if self.swapped { (1, n) } else { (n, 1) };
        for_blocks(n, 1, |q, _| {
            scratch(n * (c + 2 * h), |buffer| {
                let (normed, buffer) = buffer.split_at_mut(n * c);
                let (bias, turned) = buffer.split_at_mut(n * h);
                // SAFETY: source and result are two memories.
                let z = |k: usize| unsafe { z.range((q * step.0 + k * step.1) * c, c) };
                layer_norm_rows_as(number, n, z, &scale, &offset, normed);
                gemm(Mat::of(number, normed, c), n, &w, bias, h, Finish::default());
                transpose(bias, h, n, h, turned, n);
                for (head, row) in turned.chunks_exact(n).enumerate() {
                    // SAFETY: each query writes its own rows.
                    unsafe { out.put((head * n + q) * n, row) };
                }
            });
        });
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::pair_bias(job, self.swapped)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        faces::pair_bias_backward(job, self.swapped)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let z = if self.swapped { t[0].transpose(0, 1)? } else { t[0].clone() };
        let z = plain::layer_norm(&z, &t[1], &t[2])?;
        plain::matmul_t(&z, &t[3])?.permute((2, 0, 1))?.contiguous()
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (n, _, c) = t[0].dims3()?;
        let h = t[3].dim(0)?;
        let [z, scale, offset, w] = super::values(t)?;
        let (z, grad): (&[f32], _) = (&z, super::value(grad)?);
        let grad: &[f32] = &grad;
        let back = Packed::from_kn(&w, h, c);
        let step = if self.swapped { (1, n) } else { (n, 1) };
        let sums = Sums::new(t, wanted, &[&[1, 2], &[3]]);
        let mut dz = vec![0.0; z.len()];
        let share = SharedMut::new(&mut dz);
        let mut total = sums.buffer();
        sum_parts(n, 1, &mut total, |q, _, sum| {
            let at = |k: usize| (q * step.0 + k * step.1) * c;
            scratch(n * (2 * c + h), |buffer| {
                let (normed, buffer) = buffer.split_at_mut(n * c);
                let (dnormed, dbias) = buffer.split_at_mut(n * c);
                transpose(&grad[q * n..], n * n, h, n, dbias, h);
                for k in 0..n {
                    layer_norm_row(&z[at(k)..][..c], &scale, &offset, &mut normed[k * c..][..c]);
                }
                if wanted[3] {
                    add_transposed_product((dbias, h), h, (normed, c), c, n, sums.of(sum, 3));
                }
                gemm(Mat::new(dbias, h), n, &back, dnormed, c, Finish::default());
                let (dscale, doffset) = sums.pair(sum, 1);
                for (k, grad) in dnormed.chunks_exact(c).enumerate() {
                    // SAFETY: each query writes its own elements.
                    let dz = unsafe { share.range(at(k), c) };
                    layer_norm_backward_row(&z[at(k)..][..c], &scale, grad, dz, dscale, doffset);
                }
            });
        });
        gradients(dz, &[(&sums, &total)], t, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradcheck::check_backward;
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        let t = [noise(&[7, 7, 5], 1), noise(&[5], 2), noise(&[5], 3), noise(&[3, 5], 4)];
        check(&PairBias { swapped: false }, &t, &[0, 1, 3]);
        check(&PairBias { swapped: true }, &t, &[0, 2, 3]);
    }

    #[test]
    fn swapped_is_the_transpose() {
        let t = [noise(&[6, 6, 5], 1), noise(&[5], 2), noise(&[5], 3), noise(&[2, 5], 4)];
        let run = |swapped| pair_bias(&t[0], (&t[1], &t[2]), &t[3], swapped).unwrap();
        let (a, b) = (run(false), run(true).transpose(1, 2).unwrap());
        assert_eq!((a - b).unwrap().abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }

    #[test]
    fn backward() {
        for (n, c, h, scale) in [(1, 7, 4, 1.0), (2, 17, 8, 1e3), (17, 33, 3, 1e-4), (33, 19, 8, 1.0)] {
            let z = (noise(&[n, n, c], 1) * scale).unwrap();
            let t = [z, noise(&[c], 2), noise(&[c], 3), noise(&[h, c], 4)];
            for swapped in [false, true] {
                check_backward(&PairBias { swapped }, &t, &[0, 1, 2, 3], Some(2e-6));
                check_backward(&PairBias { swapped }, &t, &[0], Some(2e-6));
            }
        }
    }
}
