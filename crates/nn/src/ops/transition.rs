//! Transition: layer norm, widen, ReLU, narrow. AF2 Suppl. Alg. 9 and 15.
//!
//! Fused over blocks of rows, so that the widened activations stay in the cache.

use super::plain;
use crate::cpu::{Finish, Mat, Packed, for_blocks, gemm, layer_norm_row, padded, scratch};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// Weights of one transition; linear weights are `[out, in]`.
pub struct TransitionWeights<'a> {
    /// Layer norm, `[c]` each.
    pub norm: (&'a Tensor, &'a Tensor),
    /// `[w, c]`, `[w]`.
    pub widen: (&'a Tensor, &'a Tensor),
    /// `[c, w]`, `[c]`.
    pub narrow: (&'a Tensor, &'a Tensor),
}

/// The transition update of `x` `[.., c]`, to be added to it.
pub fn transition(x: &Tensor, w: &TransitionWeights<'_>) -> Update {
    Update::new(Transition, &[x, w.norm.0, w.norm.1, w.widen.0, w.widen.1, w.narrow.0, w.narrow.1])
}

struct Transition;

/// Rows of one block.
const ROWS: usize = 96;

impl Fused for Transition {
    fn name(&self) -> &'static str {
        "transition"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        Ok(t[0].shape().clone())
    }

    fn may_alias(&self) -> bool {
        true
    }

    fn forward(&self, t: &[Tensor], x: Source<'_>, out: Place<'_>) -> Result<()> {
        let (w, c) = t[3].dims2()?;
        let wide = padded(w);
        let [scale, offset, w1, b1, w2, b2] = super::values(&t[1..])?;
        let (widen, narrow) = (Packed::from_nk(&w1, c, w), Packed::from_nk(&w2, w, c));
        for_blocks(x.len() / c, ROWS, |row, rows| {
            scratch(rows * (c + wide), |buffer| {
                let (normed, hidden) = buffer.split_at_mut(rows * c);
                // SAFETY: blocks are disjoint, and this one's values are read before they are written.
                let x = unsafe { x.range(row * c, rows * c) };
                for (x, y) in x.chunks_exact(c).zip(normed.chunks_exact_mut(c)) {
                    layer_norm_row(x, &scale, &offset, y);
                }
                let relu = Finish { bias: &b1, relu: true, accumulate: false };
                gemm(Mat::new(normed, c), rows, &widen, hidden, wide, relu);
                let finish = Finish { bias: &b2, relu: false, accumulate: out.adds() };
                // SAFETY: as above; `x` is not used any more.
                let out = unsafe { out.range(row * c, rows * c) };
                gemm(Mat::new(hidden, wide), rows, &narrow, out, c, finish);
            });
        });
        Ok(())
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let x = plain::layer_norm(&t[0], &t[1], &t[2])?;
        plain::linear(&plain::relu(&plain::linear(&x, &t[3], &t[4])?)?, &t[5], &t[6])
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        let t = [
            noise(&[11, 10, 6], 1),
            noise(&[6], 2),
            noise(&[6], 3),
            noise(&[13, 6], 4),
            noise(&[13], 5),
            noise(&[6, 13], 6),
            noise(&[6], 7),
        ];
        check(&Transition, &t, &[0, 1, 2, 3, 4, 5, 6]);
    }
}
