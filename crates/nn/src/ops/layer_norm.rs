//! Layer norm over the last dimension, ε = 1e-5 as in haiku.

use super::plain;
use crate::cpu::{for_blocks, layer_norm_row, scratch};
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

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        plain::layer_norm(&t[0], &t[1], &t[2])
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        check(&LayerNorm, &[noise(&[3, 5, 19], 1), noise(&[19], 2), noise(&[19], 3)], &[0, 1, 2]);
    }
}
