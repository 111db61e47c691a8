//! Transition: layer norm, widen, ReLU, narrow. AF2 Suppl. Alg. 9 and 15.
//!
//! Fused over blocks of rows, so that the widened activations stay in the cache.

use super::plain;
use super::sums::{Sums, add_rows, gradients};
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, add_transposed_product, for_blocks, gemm, layer_norm_backward_row,
    layer_norm_row, layer_norm_rows_as, padded, relu_backward_row, scratch, sum_parts,
};
use crate::cuda::{BackwardJob, Job, faces};
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
        let number = w1.number();
        let (widen, narrow) = (number.pack_nk(&w1, c, w), w2.number().pack_nk(&w2, w, c));
        for_blocks(x.len() / c, ROWS, |row, rows| {
            scratch(rows * (c + wide), |buffer| {
                let (normed, hidden) = buffer.split_at_mut(rows * c);
                // SAFETY: blocks are disjoint, and this one's values are read before they are written.
                let x = |i: usize| unsafe { x.range((row + i) * c, c) };
                layer_norm_rows_as(number, rows, x, &scale, &offset, normed);
                let relu = Finish { bias: &b1, relu: true, accumulate: false };
                gemm(Mat::of(number, normed, c), rows, &widen, hidden, wide, relu);
                let finish = Finish { bias: &b2, relu: false, accumulate: out.adds() };
                // SAFETY: as above; `x` is not used any more.
                let out = unsafe { out.range(row * c, rows * c) };
                gemm(Mat::new(hidden, wide), rows, &narrow, out, c, finish);
            });
        });
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::transition(job)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        faces::transition_backward(job)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let x = plain::layer_norm(&t[0], &t[1], &t[2])?;
        plain::linear(&plain::relu(&plain::linear(&x, &t[3], &t[4])?)?, &t[5], &t[6])
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (w, c) = t[3].dims2()?;
        let wide = padded(w);
        let [x, scale, offset, w1, b1, w2] = super::values(&t[..6])?;
        let (x, grad): (&[f32], _) = (&x, super::value(grad)?);
        let grad: &[f32] = &grad;
        let widen = Packed::from_nk(&w1, c, w);
        let (back_narrow, back_widen) = (Packed::from_kn(&w2, c, w), Packed::from_kn(&w1, w, c));
        let sums = Sums::new(t, wanted, &[&[1, 2], &[3], &[4], &[5], &[6]]);
        let mut dx = vec![0.0; x.len()];
        let share = SharedMut::new(&mut dx);
        let mut total = sums.buffer();
        sum_parts(x.len() / c, ROWS, &mut total, |row, rows, sum| {
            let (x, grad) = (&x[row * c..][..rows * c], &grad[row * c..][..rows * c]);
            scratch(rows * (c + 2 * wide), |buffer| {
                let (normed, buffer) = buffer.split_at_mut(rows * c);
                let (hidden, dhidden) = buffer.split_at_mut(rows * wide);
                for (x, y) in x.chunks_exact(c).zip(normed.chunks_exact_mut(c)) {
                    layer_norm_row(x, &scale, &offset, y);
                }
                let relu = Finish { bias: &b1, relu: true, accumulate: false };
                gemm(Mat::new(normed, c), rows, &widen, hidden, wide, relu);
                gemm(Mat::new(grad, c), rows, &back_narrow, dhidden, wide, Finish::default());
                for i in 0..rows {
                    relu_backward_row(&hidden[i * wide..][..w], &mut dhidden[i * wide..][..w]);
                }
                if wanted[5] {
                    add_transposed_product((grad, c), c, (hidden, wide), w, rows, sums.of(sum, 5));
                }
                if wanted[3] {
                    add_transposed_product((dhidden, wide), w, (normed, c), c, rows, sums.of(sum, 3));
                }
                add_rows(sums.of(sum, 6), grad, c, rows);
                add_rows(sums.of(sum, 4), dhidden, wide, rows);
                // The normalised input is no longer needed: its memory takes its gradient.
                gemm(Mat::new(dhidden, wide), rows, &back_widen, normed, c, Finish::default());
                let (dscale, doffset) = sums.pair(sum, 1);
                // SAFETY: blocks of rows are disjoint.
                let dx = unsafe { share.range(row * c, rows * c) };
                let rows = x.chunks_exact(c).zip(normed.chunks_exact(c)).zip(dx.chunks_exact_mut(c));
                for ((x, grad), dx) in rows {
                    layer_norm_backward_row(x, &scale, grad, dx, dscale, doffset);
                }
            });
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

    #[test]
    fn backward() {
        for (rows, c, w, scale) in
            [(1, 17, 33, 1.0), (2, 33, 70, 1e3), (210, 8, 17, 1e-4), (199, 33, 130, 1.0)]
        {
            let t = [
                (noise(&[rows, c], 1) * scale).unwrap(),
                noise(&[c], 2),
                noise(&[c], 3),
                noise(&[w, c], 4),
                noise(&[w], 5),
                noise(&[c, w], 6),
                noise(&[c], 7),
            ];
            check_backward(&Transition, &t, &[0, 1, 2, 3, 4, 5, 6], Some(2e-6));
            check_backward(&Transition, &t, &[0, 5], Some(2e-6));
        }
    }
}
