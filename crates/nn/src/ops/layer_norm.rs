//! Layer norm over the last dimension, ε = 1e-5 as in haiku.

use super::plain;
use super::sums::{Sums, gradients};
use crate::cpu::{SharedMut, for_blocks, layer_norm_backward_row, layer_norm_row, scratch, sum_parts};
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// LN(x)·scale + offset.
/// - `x` `[.., c]`; `scale`, `offset` `[c]`
///
/// Returns the shape of `x`; statistics in f32, two passes.
pub fn layer_norm(x: &Tensor, scale: &Tensor, offset: &Tensor) -> Update {
    Update::new(LayerNorm, &[x, scale, offset])
}

struct LayerNorm;

impl Fused for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        Ok(t[0].shape().clone())
    }

    fn may_alias(&self) -> bool {
        true
    }

    fn forward(&self, t: &[Tensor], x: Source<'_>, out: Place<'_>) -> Result<()> {
        let [scale, offset] = super::values(&t[1..])?;
        let c = scale.len();
        for_blocks(x.len() / c, 256, |row, rows| {
            scratch(c, |normed| {
                for row in row..row + rows {
                    // SAFETY: blocks are disjoint, and each row is read before it is written.
                    layer_norm_row(unsafe { x.range(row * c, c) }, &scale, &offset, normed);
                    unsafe { out.put(row * c, normed) };
                }
            });
        });
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::layer_norm(job)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        faces::layer_norm_backward(job)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        plain::layer_norm(&t[0], &t[1], &t[2])
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let [x, scale] = super::values(&t[..2])?;
        let (x, grad): (&[f32], _) = (&x, super::value(grad)?);
        let grad: &[f32] = &grad;
        let c = scale.len();
        let sums = Sums::new(t, wanted, &[&[1, 2]]);
        let mut dx = vec![0.0; x.len()];
        let share = SharedMut::new(&mut dx);
        let mut total = sums.buffer();
        sum_parts(x.len() / c, 256, &mut total, |row, rows, sum| {
            let (dscale, doffset) = sums.pair(sum, 1);
            for at in (row..row + rows).map(|row| row * c) {
                // SAFETY: blocks of rows are disjoint.
                let dx = unsafe { share.range(at, c) };
                layer_norm_backward_row(&x[at..][..c], &scale, &grad[at..][..c], dx, dscale, doffset);
            }
        });
        gradients(dx, &[(&sums, &total)], t, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradcheck::check_backward;
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        check(&LayerNorm, &[noise(&[3, 5, 19], 1), noise(&[19], 2), noise(&[19], 3)], &[0, 1, 2]);
    }

    #[test]
    fn backward() {
        for (rows, c, scale) in [(1, 7, 1.0), (2, 17, 1e3), (17, 33, 1e-4), (600, 8, 1.0)] {
            let t = [(noise(&[rows, c], 1) * scale).unwrap(), noise(&[c], 2), noise(&[c], 3)];
            check_backward(&LayerNorm, &t, &[0, 1, 2], Some(2e-6));
            check_backward(&LayerNorm, &t, &[0], Some(2e-6));
        }
    }
}
