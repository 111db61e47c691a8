//! Pairs of values scaled to unit length: sine and cosine of torsions. AF2 Suppl. Alg. 20 line 14, as AlphaFold's code has it.

use crate::cpu::for_blocks;
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{D, Device, Result, Shape, Tensor};

/// x / √max(|x|², 1e-12) of each pair.
/// - `x` `[.., 2]`
///
/// Returns the shape of `x`.
pub fn unit_pairs(x: &Tensor) -> Update {
    Update::new(UnitPairs, &[x])
}

/// What a squared length is at least.
const LEAST: f32 = 1e-12;

pub(super) struct UnitPairs;

impl Fused for UnitPairs {
    fn name(&self) -> &'static str {
        "unit_pairs"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        if t[0].dims().last() != Some(&2) {
            candle_core::bail!("unit_pairs: expected [.., 2], got {:?}", t[0].dims());
        }
        Ok(t[0].shape().clone())
    }

    fn may_alias(&self) -> bool {
        true
    }

    fn forward(&self, _: &[Tensor], x: Source<'_>, out: Place<'_>) -> Result<()> {
        for_blocks(x.len() / 2, 4096, |first, n| {
            for i in first..first + n {
                // SAFETY: pairs are disjoint, and each is read before it is written.
                let (a, b) = unsafe { (x.range(2 * i, 2)[0], x.range(2 * i, 2)[1]) };
                let length = (a * a + b * b).max(LEAST).sqrt();
                unsafe { out.put(2 * i, &[a / length, b / length]) };
            }
        });
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::unit_pairs(job)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        faces::unit_pairs_backward(job)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let length = t[0].sqr()?.sum_keepdim(D::Minus1)?.maximum(f64::from(LEAST))?.sqrt()?;
        t[0].broadcast_div(&length)
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if !wanted[0] {
            return Ok(vec![None]);
        }
        let (x, grad) = (super::super::value(&t[0])?, super::super::value(grad)?);
        let pairs = x.chunks_exact(2).zip(grad.chunks_exact(2));
        let dx = pairs.flat_map(|(x, grad)| {
            let square = x[0] * x[0] + x[1] * x[1];
            let length = square.max(LEAST).sqrt();
            // A pair of the least length is only scaled.
            let along = if square > LEAST { (x[0] * grad[0] + x[1] * grad[1]) / square } else { 0.0 };
            [(grad[0] - x[0] * along) / length, (grad[1] - x[1] * along) / length]
        });
        Ok(vec![Some(Tensor::from_vec(dx.collect::<Vec<f32>>(), t[0].shape(), &Device::Cpu)?)])
    }
}
