//! Gated self-attention along one axis of an MSA or pair representation, with an optional pair bias.
//! AF2 Suppl. Alg. 7 (MSA row), 8 (MSA column), 13 and 14 (triangle, starting and ending node).
//!
//! Fused: each attended row is normalised, projected, attended, gated and projected back while it is
//! in the cache; nothing of size (rows × length²) is ever made.

mod backward;

use super::plain;
use crate::cpu::{
    Finish, HeadBlock, Mat, NarrowHeads, TurnedBias, attend, attend_narrow, for_blocks, gemm, is_narrow,
    layer_norm_rows_as, mul_sigmoid, padded, scratch, with_turned_bias,
};
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update, reference_backward};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// Which axis of `[n0, n1, c]` is attended along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Orientation {
    /// Each `x[i, ..]` attends within itself.
    PerRow,
    /// Each `x[.., j]` attends within itself.
    PerColumn,
}

/// Weights of one gated attention; linear weights are `[out, in]`.
pub struct AttentionWeights<'a> {
    /// Layer norm of the input, `[c]` each.
    pub norm: (&'a Tensor, &'a Tensor),
    /// Queries, keys `[h·d, c]`, values `[h·d, c]`; no bias.
    pub qkv: (&'a Tensor, &'a Tensor, &'a Tensor),
    /// Gate `[h·d, c]`, `[h·d]`.
    pub gate: (&'a Tensor, &'a Tensor),
    /// Output `[c, h·d]`, `[c]`.
    pub out: (&'a Tensor, &'a Tensor),
}

/// The attention update of `x`, to be added to it.
/// - `x` `[n0, n1, c]`; `mask` `[n0, n1]`, 1 = present
/// - `bias` `[h, n, n]` (query, key) over the attended axis, or none
///
/// Returns `[n0, n1, c]`. Logits of masked keys get −1e9; softmax in f32.
pub fn attention(
    x: &Tensor,
    mask: &Tensor,
    bias: Option<&Tensor>,
    w: &AttentionWeights<'_>,
    heads: usize,
    orientation: Orientation,
) -> Update {
    let mut inputs =
        vec![x, mask, w.norm.0, w.norm.1, w.qkv.0, w.qkv.1, w.qkv.2, w.gate.0, w.gate.1, w.out.0, w.out.1];
    inputs.extend(bias);
    Update::new(Attention { heads, orientation }, &inputs)
}

struct Attention {
    heads: usize,
    orientation: Orientation,
}

impl Fused for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (n0, n1, _) = t[0].dims3()?;
        let n = if self.orientation == Orientation::PerRow { n1 } else { n0 };
        if t.get(11).is_some_and(|bias| bias.dims() != [self.heads, n, n]) {
            candle_core::bail!(
                "attention: expected a bias of [{}, {n}, {n}], got {:?}",
                self.heads,
                t[11].dims()
            );
        }
        Ok(t[0].shape().clone())
    }

    fn may_alias(&self) -> bool {
        true
    }

    fn forward(&self, t: &[Tensor], x: Source<'_>, out: Place<'_>) -> Result<()> {
        let (n0, n1, c) = t[0].dims3()?;
        let [mask, scale, offset, wq, wk, wv, wg, bg, wo, bo] = super::values(&t[1..11])?;
        let bias = t.get(11).map(super::value).transpose()?;
        let bias: &[f32] = bias.as_deref().unwrap_or(&[]);
        let mask: &[f32] = &mask;
        let (h, hk, hv) = (self.heads, wq.len() / c, wv.len() / c);
        let (dk, dv) = (hk / h, hv / h);
        let (width, number) = (2 * hk + 2 * hv, wq.number());
        let wide = padded(width);
        let project = number.pack_nk_list(&[&wq, &wk, &wv, &wg], c);
        let output = number.pack_nk(&wo, hv, c);
        // Attended length, number of attended rows, and how rows and elements lie in memory.
        let (n, rows, row_step, step) = match self.orientation {
            Orientation::PerRow => (n1, n0, n1, 1),
            Orientation::PerColumn => (n0, n1, 1, n1),
        };
        let (narrow, factor) = (is_narrow(dk, dv), (dk as f32).powf(-0.5));
        let attend_row = |row: usize, turned: TurnedBias<'_>| {
            let at = |i: usize| row * row_step + i * step;
            scratch(n * (wide + c.max(hv) + c + 1), |buffer| {
                let (qkvg, buffer) = buffer.split_at_mut(n * wide);
                let (update, buffer) = buffer.split_at_mut(n * c);
                let (keys_mask, buffer) = buffer.split_at_mut(n);
                let normed = &mut buffer[..n * c];
                // SAFETY: only this attended row's thread writes here, and later.
                let x = |i: usize| unsafe { x.range(at(i) * c, c) };
                layer_norm_rows_as(number, n, x, &scale, &offset, normed);
                for (i, m) in keys_mask.iter_mut().enumerate() {
                    *m = 1e9 * (mask[at(i)] - 1.0);
                }
                gemm(Mat::of(number, normed, c), n, &project, qkvg, wide, Finish::default());
                // The normalised input is no longer needed: its memory takes the attended values.
                let attended = &mut buffer[..n * hv];
                if narrow {
                    let heads = NarrowHeads {
                        qkv: qkvg,
                        stride: wide,
                        heads: h,
                        number,
                        scale: factor,
                        bias: turned,
                        mask: keys_mask,
                    };
                    attend_narrow(&heads, attended);
                }
                let (mut k, mut v) = (number.empty(), number.empty());
                for head in (0..h).filter(|_| !narrow) {
                    k.refill_nk(Mat::new(&qkvg[hk + head * dk..], wide), dk, n);
                    v.refill_kn(Mat::new(&qkvg[2 * hk + head * dv..], wide), n, dv);
                    let block = HeadBlock {
                        q: Mat::new(&qkvg[head * dk..], wide),
                        k: &k,
                        v: &v,
                        scale: factor,
                        bias: if bias.is_empty() { &[] } else { &bias[head * n * n..][..n * n] },
                        mask: keys_mask,
                    };
                    attend(&block, n, &mut attended[head * dv..], hv);
                }
                for i in 0..n {
                    let gate = &qkvg[i * wide + 2 * hk + hv..][..hv];
                    mul_sigmoid(&mut attended[i * hv..][..hv], gate, &bg);
                }
                let finish = Finish { bias: &bo, ..Finish::default() };
                gemm(Mat::new(attended, hv), n, &output, update, c, finish);
                for i in 0..n {
                    // SAFETY: every attended row writes its own elements.
                    unsafe { out.put(at(i) * c, &update[i * c..][..c]) };
                }
            });
        };
        with_turned_bias(if narrow { bias } else { &[] }, n, |turned| {
            for_blocks(rows, 1, |row, _| attend_row(row, turned));
        });
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::attention(job, self.heads, self.orientation == Orientation::PerColumn)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        // Nobody learns a mask.
        Ok(!job.wants(1)
            && faces::attention_backward(job, self.heads, self.orientation == Orientation::PerColumn)?)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let (x, mask) = match self.orientation {
            Orientation::PerRow => (t[0].clone(), t[1].clone()),
            Orientation::PerColumn => (t[0].transpose(0, 1)?, t[1].transpose(0, 1)?),
        };
        let (b, n, _) = x.dims3()?;
        let h = self.heads;
        let x = plain::layer_norm(&x, &t[2], &t[3])?;
        let heads = |y: Tensor| -> Result<Tensor> {
            let d = y.dim(2)? / h;
            y.reshape((b, n, h, d))?.transpose(1, 2)?.contiguous() // [b, h, n, d]
        };
        let (q, k, v) = (
            heads(plain::matmul_t(&x, &t[4])?)?,
            heads(plain::matmul_t(&x, &t[5])?)?,
            heads(plain::matmul_t(&x, &t[6])?)?,
        );
        let scale = (q.dim(3)? as f64).powf(-0.5);
        let mut logits = ((q * scale)?.matmul(&k.t()?)?)
            .broadcast_add(&plain::mask_bias(&mask)?.reshape((b, 1, 1, n))?)?;
        if let Some(bias) = t.get(11) {
            logits = logits.broadcast_add(&bias.unsqueeze(0)?)?;
        }
        let o = plain::softmax_last(&logits)?.matmul(&v)?; // [b, h, n, d]
        let o = o.transpose(1, 2)?.flatten_from(2)?;
        let gate = plain::sigmoid(&plain::linear(&x, &t[7], &t[8])?)?;
        let y = plain::linear(&(o * gate)?, &t[9], &t[10])?;
        match self.orientation {
            Orientation::PerRow => Ok(y),
            Orientation::PerColumn => y.transpose(0, 1)?.contiguous(),
        }
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if wanted[1] {
            return reference_backward(self, t, grad, wanted); // nobody learns a mask
        }
        backward::backward(self, t, grad, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    fn inputs(n0: usize, n1: usize, attended: usize) -> Vec<Tensor> {
        inputs_of(4, n0, n1, attended)
    }

    /// With `d` channels a head.
    fn inputs_of(d: usize, n0: usize, n1: usize, attended: usize) -> Vec<Tensor> {
        let (c, h) = (10, 3);
        let mask = (noise(&[n0, n1], 2).ge(-0.6).unwrap()).to_dtype(candle_core::DType::F32).unwrap();
        let w = |o: usize, i: usize, seed| noise(&[o, i], seed);
        vec![
            noise(&[n0, n1, c], 1),
            mask,
            noise(&[c], 3),
            noise(&[c], 4),
            w(h * d, c, 5),
            w(h * d, c, 6),
            w(h * d, c, 7),
            w(h * d, c, 8),
            noise(&[h * d], 9),
            w(c, h * d, 10),
            noise(&[c], 11),
            noise(&[h, attended, attended], 12),
        ]
    }

    #[test]
    fn per_row_with_bias() {
        let op = Attention { heads: 3, orientation: Orientation::PerRow };
        check(&op, &inputs(5, 7, 7), &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn per_column_with_and_without_bias() {
        let op = Attention { heads: 3, orientation: Orientation::PerColumn };
        check(&op, &inputs(6, 5, 6), &[0, 4, 5, 6, 11]);
        check(&op, &inputs(6, 5, 6)[..11], &[0, 7, 9]);
    }

    #[test]
    fn heads_of_eight_channels() {
        let op = Attention { heads: 3, orientation: Orientation::PerRow };
        check(&op, &inputs_of(8, 2, 37, 37), &[0, 4, 5, 6, 11]);
        let op = Attention { heads: 3, orientation: Orientation::PerColumn };
        check(&op, &inputs_of(8, 19, 3, 19)[..11], &[0, 7]);
    }

    #[test]
    fn longer_than_one_block_of_queries() {
        let op = Attention { heads: 3, orientation: Orientation::PerRow };
        check(&op, &inputs(2, 53, 53), &[0, 11]);
    }
}
