//! Layer norm over the last dimension, ε = 1e-5 as in haiku.

use super::plain;
use crate::cpu::{SharedMut, for_blocks, layer_norm_row};
use crate::fused::{Fused, apply};
use candle_core::{Result, Shape, Tensor};

/// LN(x)·scale + offset.
/// - `x` `[.., c]`; `scale`, `offset` `[c]`
///
/// Returns the shape of `x`; statistics in f32, two passes.
pub fn layer_norm(x: &Tensor, scale: &Tensor, offset: &Tensor) -> Result<Tensor> {
    apply(LayerNorm, &[x, scale, offset])
}

struct LayerNorm;

impl Fused for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn forward(&self, t: &[Tensor]) -> Result<(Vec<f32>, Shape)> {
        let [x, scale, offset] = super::values(t)?;
        let c = scale.len();
        let mut out = vec![0.0; x.len()];
        let shared = SharedMut::new(&mut out);
        for_blocks(x.len() / c, 256, |row, rows| {
            // SAFETY: blocks are disjoint.
            let out = unsafe { shared.range(row * c, rows * c) };
            for (x, out) in x[row * c..].chunks_exact(c).zip(out.chunks_exact_mut(c)) {
                layer_norm_row(x, &scale, &offset, out);
            }
        });
        Ok((out, t[0].shape().clone()))
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
