//! Global column attention of the extra MSA: one query a column, the mean over its sequences; keys and
//! values without a head dimension. AF2 Suppl. Alg. 19.

use super::plain;
use crate::cpu::{
    Finish, Mat, Packed, for_blocks, gemm, layer_norm_row, mul_sigmoid, scale_row, scratch, softmax_row,
};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// Weights of one global attention; linear weights are `[out, in]`.
pub struct GlobalAttentionWeights<'a> {
    /// Layer norm, `[c]` each.
    pub norm: (&'a Tensor, &'a Tensor),
    /// Queries `[h·d, c]`; keys `[d, c]`, values `[v, c]`; no bias.
    pub qkv: (&'a Tensor, &'a Tensor, &'a Tensor),
    /// Gate `[h·v, c]`, `[h·v]`.
    pub gate: (&'a Tensor, &'a Tensor),
    /// Output `[c, h·v]`, `[c]`.
    pub out: (&'a Tensor, &'a Tensor),
}

/// Added to the number of present sequences in the mean query.
const EPS: f32 = 1e-10;

/// The update of `m` `[s, r, c]`, to be added to it; `mask` `[s, r]`.
pub fn global_attention(m: &Tensor, mask: &Tensor, w: &GlobalAttentionWeights<'_>, heads: usize) -> Update {
    let inputs =
        [m, mask, w.norm.0, w.norm.1, w.qkv.0, w.qkv.1, w.qkv.2, w.gate.0, w.gate.1, w.out.0, w.out.1];
    Update::new(GlobalAttention { heads }, &inputs)
}

struct GlobalAttention {
    heads: usize,
}

impl Fused for GlobalAttention {
    fn name(&self) -> &'static str {
        "global_attention"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        Ok(t[0].shape().clone())
    }

    fn may_alias(&self) -> bool {
        true
    }

    fn forward(&self, t: &[Tensor], m: Source<'_>, out: Place<'_>) -> Result<()> {
        let (s, r, c) = t[0].dims3()?;
        let [mask, scale, offset, wq, wk, wv, wg, bg, wo, bo] = super::values(&t[1..])?;
        let mask: &[f32] = &mask;
        let (h, hd) = (self.heads, wq.len() / c);
        let (d, v) = (hd / h, wv.len() / c);
        let hv = h * v;
        let width = d + v + hv;
        let query = Packed::from_nk(&wq, c, hd);
        let project = Packed::from_nk_list(&[&wk, &wv, &wg], c);
        let output = Packed::from_nk(&wo, hv, c);
        for_blocks(r, 1, |column, _| {
            scratch(s * (c + width + 1 + h + hv) + c + hd + hv, |buffer| {
                let (normed, buffer) = buffer.split_at_mut(s * c);
                let (kvg, buffer) = buffer.split_at_mut(s * width);
                let (bias, buffer) = buffer.split_at_mut(s);
                let (logits, buffer) = buffer.split_at_mut(h * s);
                let (gated, buffer) = buffer.split_at_mut(s * hv);
                let (mean, buffer) = buffer.split_at_mut(c);
                let (q, o) = buffer.split_at_mut(hd);
                mean.fill(0.0);
                let mut count = EPS;
                for i in 0..s {
                    let row = &mut normed[i * c..][..c];
                    // SAFETY: only this column's thread writes here, and later.
                    layer_norm_row(unsafe { m.range((i * r + column) * c, c) }, &scale, &offset, row);
                    let present = mask[i * r + column];
                    count += present;
                    mean.iter_mut().zip(&*row).for_each(|(a, &x)| *a += present * x);
                    bias[i] = 1e9 * (present - 1.0);
                }
                mean.iter_mut().for_each(|a| *a /= count);
                gemm(Mat::new(mean, c), 1, &query, q, hd, Finish::default());
                gemm(Mat::new(normed, c), s, &project, kvg, width, Finish::default());
                let keys = {
                    let mut p = Packed::empty();
                    p.refill_nk(Mat::new(kvg, width), d, s);
                    p
                };
                gemm(Mat::new(q, d), h, &keys, logits, s, Finish::default());
                for row in logits.chunks_exact_mut(s) {
                    let inverse = softmax_row(row, (d as f32).powf(-0.5), &[], bias);
                    scale_row(row, inverse);
                }
                let values = {
                    let mut p = Packed::empty();
                    p.refill_kn(Mat::new(&kvg[d..], width), s, v);
                    p
                };
                gemm(Mat::new(logits, s), h, &values, o, v, Finish::default());
                for i in 0..s {
                    let row = &mut gated[i * hv..][..hv];
                    row.copy_from_slice(o);
                    mul_sigmoid(row, &kvg[i * width + d + v..][..hv], &bg);
                }
                let finish = Finish { bias: &bo, ..Finish::default() };
                // The normalised input is no longer needed: its memory takes the update.
                gemm(Mat::new(gated, hv), s, &output, normed, c, finish);
                for i in 0..s {
                    // SAFETY: every column writes its own elements.
                    unsafe { out.put((i * r + column) * c, &normed[i * c..][..c]) };
                }
            });
        });
        Ok(())
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let x = plain::layer_norm(&t[0].transpose(0, 1)?, &t[2], &t[3])?; // [r, s, c]
        let mask = t[1].t()?.unsqueeze(2)?; // [r, s, 1]
        let (r, s, _) = x.dims3()?;
        let mean = x.broadcast_mul(&mask)?.sum(1)?.broadcast_div(&(mask.sum(1)? + EPS as f64)?)?; // [r, c]
        let q = plain::matmul_t(&mean, &t[4])?;
        let d = q.dim(1)? / self.heads;
        let q = (q.reshape((r, self.heads, d))? * (d as f64).powf(-0.5))?;
        let (k, v) = (plain::matmul_t(&x, &t[5])?, plain::matmul_t(&x, &t[6])?); // [r, s, d or v]
        let logits = q.matmul(&k.t()?)?.broadcast_add(&plain::mask_bias(&mask)?.reshape((r, 1, s))?)?;
        let o = plain::softmax_last(&logits)?.matmul(&v)?.reshape((r, 1, ()))?;
        let gate = plain::sigmoid(&plain::linear(&x, &t[7], &t[8])?)?; // [r, s, h·v]
        plain::linear(&gate.broadcast_mul(&o)?, &t[9], &t[10])?.transpose(0, 1)?.contiguous()
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        let (s, r, c, h, d, v) = (7, 5, 6, 3, 4, 8);
        let mask = noise(&[s, r], 2).ge(-0.5).unwrap().to_dtype(candle_core::DType::F32).unwrap();
        let t = [
            noise(&[s, r, c], 1),
            mask,
            noise(&[c], 3),
            noise(&[c], 4),
            noise(&[h * d, c], 5),
            noise(&[d, c], 6),
            noise(&[v, c], 7),
            noise(&[h * v, c], 8),
            noise(&[h * v], 9),
            noise(&[c, h * v], 10),
            noise(&[c], 11),
        ];
        check(&GlobalAttention { heads: h }, &t, &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }
}
