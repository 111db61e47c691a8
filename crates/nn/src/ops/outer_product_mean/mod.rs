//! Outer product mean: how the MSA informs the pair representation. AF2 Suppl. Alg. 10.
//!
//! Fused: for a few residues i at a time, the outer products with all j are summed over the sequences
//! in one matrix product and projected at once; [r, r, e²] never exists.

mod backward;
mod forward;

use super::plain;
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update, reference_backward};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// Weights; linear weights are `[out, in]`.
pub struct OuterProductWeights<'a> {
    /// Layer norm, `[c_m]` each.
    pub norm: (&'a Tensor, &'a Tensor),
    /// First factor `[e, c_m]`, `[e]`.
    pub a: (&'a Tensor, &'a Tensor),
    /// Second factor `[e, c_m]`, `[e]`.
    pub b: (&'a Tensor, &'a Tensor),
    /// Output `[c_z, e·e]` (first factor's channel major), `[c_z]`.
    pub out: (&'a Tensor, &'a Tensor),
}

/// Added to the number of sequences two residues share, as in AlphaFold's code.
const EPS: f32 = 1e-3;

/// The update of the pair representation, `[r, r, c_z]`.
/// - `m` `[s, r, c_m]`; `mask` `[s, r]`, 1 = present
///
/// Deviation from the paper, as in AlphaFold's code: the output bias is added before the division by
/// (count + 1e-3).
pub fn outer_product_mean(m: &Tensor, mask: &Tensor, w: &OuterProductWeights<'_>) -> Update {
    let weights = [w.norm.0, w.norm.1, w.a.0, w.a.1, w.b.0, w.b.1, w.out.0, w.out.1];
    Update::new(OuterProductMean, &[&[m, mask], &weights[..]].concat())
}

struct OuterProductMean;

impl Fused for OuterProductMean {
    fn name(&self) -> &'static str {
        "outer_product_mean"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (_, r, _) = t[0].dims3()?;
        Ok((r, r, t[8].dim(0)?).into())
    }

    fn forward(&self, t: &[Tensor], m: Source<'_>, out: Place<'_>) -> Result<()> {
        forward::forward(t, m, out)
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::outer_product_mean(job)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        // Nobody learns a mask.
        Ok(!job.wants(1) && faces::outer_product_mean_backward(job)?)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let x = plain::layer_norm(&t[0], &t[2], &t[3])?;
        let mask = t[1].unsqueeze(2)?;
        let a = plain::linear(&x, &t[4], &t[5])?.broadcast_mul(&mask)?; // [s, r, e]
        let b = plain::linear(&x, &t[6], &t[7])?.broadcast_mul(&mask)?;
        let (s, r, e) = a.dims3()?;
        let outer = a.reshape((s, r * e))?.t()?.contiguous()?.matmul(&b.reshape((s, r * e))?)?;
        let outer = outer.reshape((r, e, r, e))?.transpose(1, 2)?.contiguous()?.reshape((r, r, e * e))?;
        let count = (t[1].t()?.contiguous()?.matmul(&t[1])? + EPS as f64)?; // [r, r]
        plain::linear(&outer, &t[8], &t[9])?.broadcast_div(&count.unsqueeze(2)?)
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if wanted[1] {
            return reference_backward(self, t, grad, wanted); // nobody learns a mask
        }
        backward::backward(t, grad, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        let (s, r, c, e, cz) = (6, 7, 5, 4, 9);
        let mask = noise(&[s, r], 2).ge(-0.5).unwrap().to_dtype(candle_core::DType::F32).unwrap();
        let t = [
            noise(&[s, r, c], 1),
            mask,
            noise(&[c], 3),
            noise(&[c], 4),
            noise(&[e, c], 5),
            noise(&[e], 6),
            noise(&[e, c], 7),
            noise(&[e], 8),
            noise(&[cz, e * e], 9),
            noise(&[cz], 10),
        ];
        check(&OuterProductMean, &t, &[0, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
