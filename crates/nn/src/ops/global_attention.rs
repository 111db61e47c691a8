//! Global column attention of the extra MSA: one query a column, the mean over its sequences; keys and
//! values without a head dimension. AF2 Suppl. Alg. 19.

use super::plain;
use super::sums::{Sums, add_rows, gradients};
use crate::cpu::{
    Finish, Mat, Number, Packed, SharedMut, add_transposed_product, for_blocks, gate_backward_row, gemm,
    layer_norm_backward_row, layer_norm_rows_as, mul_sigmoid, scale_row, scratch, softmax_backward_row,
    softmax_row, sum_parts, transpose,
};
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update, reference_backward};
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
        let number = wq.number();
        let query = number.pack_nk(&wq, c, hd);
        let project = number.pack_nk_list(&[&wk, &wv, &wg], c);
        let output = number.pack_nk(&wo, hv, c);
        for_blocks(r, 1, |column, _| {
            scratch(s * (c + width + 1 + h + hv) + c + hd + hv, |buffer| {
                let (normed, buffer) = buffer.split_at_mut(s * c);
                let (kvg, buffer) = buffer.split_at_mut(s * width);
                let (bias, buffer) = buffer.split_at_mut(s);
                let (logits, buffer) = buffer.split_at_mut(h * s);
                let (gated, buffer) = buffer.split_at_mut(s * hv);
                let (mean, buffer) = buffer.split_at_mut(c);
                let (q, o) = buffer.split_at_mut(hd);
                // SAFETY: only this column's thread writes here, and later.
                let x = |i: usize| (unsafe { m.range((i * r + column) * c, c) }, mask[i * r + column]);
                normalise(x, (&scale, &offset), normed, bias, mean);
                gemm(Mat::new(mean, c), 1, &query, q, hd, Finish::default());
                gemm(Mat::new(normed, c), s, &project, kvg, width, Finish::default());
                let keys = {
                    let mut p = number.empty();
                    p.refill_nk(Mat::new(kvg, width), d, s);
                    p
                };
                gemm(Mat::new(q, d), h, &keys, logits, s, Finish::default());
                for row in logits.chunks_exact_mut(s) {
                    let inverse = softmax_row(row, (d as f32).powf(-0.5), &[], bias);
                    scale_row(row, inverse);
                }
                let values = {
                    let mut p = number.empty();
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

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::global_attention(job, self.heads)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        // Nobody learns a mask.
        Ok(!job.wants(1) && faces::global_attention_backward(job, self.heads)?)
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

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if wanted[1] {
            return reference_backward(self, t, grad, wanted); // nobody learns a mask
        }
        let (s, r, c) = t[0].dims3()?;
        let [m, mask, scale, offset, wq, wk, wv, wg, bg, wo] = super::values(&t[..10])?;
        let (m, mask, grad): (&[f32], &[f32], _) = (&m, &mask, super::value(grad)?);
        let grad: &[f32] = &grad;
        let (h, hd) = (self.heads, wq.len() / c);
        let (d, v) = (hd / h, wv.len() / c);
        let (hv, factor) = (h * v, (d as f32).powf(-0.5));
        let width = d + v + hv;
        let (query, back_query) = (Packed::from_nk(&wq, c, hd), Packed::from_kn(&wq, hd, c));
        let project = Packed::from_nk_list(&[&wk, &wv, &wg], c);
        let back_project = Packed::from_kn(&[&wk[..], &wv, &wg].concat(), width, c);
        let back_output = Packed::from_kn(&wo, c, hv);
        let sums = Sums::new(t, wanted, &[&[2, 3], &[4], &[5, 6, 7], &[8], &[9], &[10]]);
        let mut dm = vec![0.0; m.len()];
        let share = SharedMut::new(&mut dm);
        let mut total = sums.buffer();
        sum_parts(r, 1, &mut total, |column, _, sum| {
            let at = |i: usize| (i * r + column) * c;
            let long = s * (2 * c + 2 * width + 1 + 2 * h + 2 * hv + d + v);
            scratch(long + 2 * (c + hd + hv), |buffer| {
                let (normed, buffer) = buffer.split_at_mut(s * c);
                let (grad_row, buffer) = buffer.split_at_mut(s * c);
                let (kvg, buffer) = buffer.split_at_mut(s * width);
                let (dkvg, buffer) = buffer.split_at_mut(s * width);
                let (bias, buffer) = buffer.split_at_mut(s);
                let (p, buffer) = buffer.split_at_mut(h * s);
                let (dp, buffer) = buffer.split_at_mut(h * s);
                let (gated, buffer) = buffer.split_at_mut(s * hv);
                let (dgated, buffer) = buffer.split_at_mut(s * hv);
                let (dkeys, buffer) = buffer.split_at_mut(d * s);
                let (dvalues, buffer) = buffer.split_at_mut(v * s);
                let (mean, buffer) = buffer.split_at_mut(c);
                let (dmean, buffer) = buffer.split_at_mut(c);
                let (q, buffer) = buffer.split_at_mut(hd);
                let (dq, buffer) = buffer.split_at_mut(hd);
                let (o, dout) = buffer.split_at_mut(hv);
                let x = |i: usize| (&m[at(i)..][..c], mask[i * r + column]);
                let count = normalise(x, (&scale, &offset), normed, bias, mean);
                for i in 0..s {
                    grad_row[i * c..][..c].copy_from_slice(&grad[at(i)..][..c]);
                }
                gemm(Mat::new(mean, c), 1, &query, q, hd, Finish::default());
                gemm(Mat::new(normed, c), s, &project, kvg, width, Finish::default());

                // The result's gradient, through gates and values, to the probabilities.
                gemm(Mat::new(grad_row, c), s, &back_output, dgated, hv, Finish::default());
                for i in 0..s {
                    mul_sigmoid(&mut dgated[i * hv..][..hv], &kvg[i * width + d + v..][..hv], &bg);
                }
                dout.fill(0.0);
                add_rows(dout, dgated, hv, s);
                let (keys, values) = (Mat::new(kvg, width), Mat::new(&kvg[d..], width));
                let mut packed = Packed::empty();
                packed.refill_nk(values, v, s);
                gemm(Mat::new(dout, v), h, &packed, dp, s, Finish::default());
                packed.refill_nk(keys, d, s);
                gemm(Mat::new(q, d), h, &packed, p, s, Finish::default());
                for (p, dp) in p.chunks_exact_mut(s).zip(dp.chunks_exact_mut(s)) {
                    let inverse = softmax_row(p, factor, &[], bias);
                    softmax_backward_row(p, inverse, dp, &mut []);
                    scale_row(dp, factor);
                }
                packed.refill_kn(values, s, v);
                gemm(Mat::new(p, s), h, &packed, o, v, Finish::default());
                packed.refill_kn(keys, s, d);
                gemm(Mat::new(dp, s), h, &packed, dq, d, Finish::default());
                dkeys.fill(0.0);
                add_transposed_product((q, d), d, (dp, s), s, h, dkeys);
                transpose(dkeys, s, d, s, dkvg, width);
                dvalues.fill(0.0);
                add_transposed_product((dout, v), v, (p, s), s, h, dvalues);
                transpose(dvalues, s, v, s, &mut dkvg[d..], width);
                for i in 0..s {
                    let gate = &mut dkvg[i * width + d + v..][..hv];
                    gate.copy_from_slice(&kvg[i * width + d + v..][..hv]);
                    let gated = &mut gated[i * hv..][..hv];
                    gated.copy_from_slice(o);
                    gate_backward_row(gated, &dgated[i * hv..][..hv], gate, &bg);
                }

                if wanted[9] {
                    add_transposed_product((grad_row, c), c, (gated, hv), hv, s, sums.of(sum, 9));
                }
                add_rows(sums.of(sum, 10), grad_row, c, s);
                if wanted[4] {
                    add_transposed_product((dq, hd), hd, (mean, c), c, 1, sums.of(sum, 4));
                }
                if wanted[5..8].contains(&true) {
                    let sum = sums.range(sum, 5, 7);
                    add_transposed_product((dkvg, width), width, (normed, c), c, s, sum);
                }
                add_rows(sums.of(sum, 8), &dkvg[d + v..], width, s);
                // The result's gradient is no longer needed: its memory takes the normalised input's.
                gemm(Mat::new(dkvg, width), s, &back_project, grad_row, c, Finish::default());
                gemm(Mat::new(dq, hd), 1, &back_query, dmean, c, Finish::default());
                let (dscale, doffset) = sums.pair(sum, 2);
                for (i, grad) in grad_row.chunks_exact_mut(c).enumerate() {
                    let share_of_mean = mask[i * r + column] / count;
                    grad.iter_mut().zip(&*dmean).for_each(|(a, &x)| *a += share_of_mean * x);
                    // SAFETY: every column writes its own elements.
                    let dm = unsafe { share.range(at(i), c) };
                    layer_norm_backward_row(&m[at(i)..][..c], &scale, grad, dm, dscale, doffset);
                }
            });
        });
        gradients(dm, &[(&sums, &total)], t, wanted)
    }
}

/// One column, given its rows and which are present: its normalised rows, the keys' mask, and the mean of the
/// present rows. Returns how many they are.
fn normalise<'a>(
    column: impl Fn(usize) -> (&'a [f32], f32),
    norm: (&[f32], &[f32]),
    normed: &mut [f32],
    bias: &mut [f32],
    mean: &mut [f32],
) -> f32 {
    mean.fill(0.0);
    let mut count = EPS;
    layer_norm_rows_as(Number::F32, bias.len(), |i| column(i).0, norm.0, norm.1, normed);
    for (i, (row, bias)) in normed.chunks_exact(mean.len()).zip(bias).enumerate() {
        let present = column(i).1;
        count += present;
        mean.iter_mut().zip(row).for_each(|(a, x)| *a += present * *x);
        *bias = 1e9 * (present - 1.0);
    }
    mean.iter_mut().for_each(|a| *a /= count);
    count
}

#[cfg(test)]
mod tests {
    use super::super::gradcheck::check_backward;
    use super::super::plain::testing::{check, noise};
    use super::*;

    const ALL: [usize; 10] = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    fn inputs([s, r, c, d, v]: [usize; 5], scale: f64, masked: f64) -> Vec<Tensor> {
        let h = 3;
        vec![
            (noise(&[s, r, c], 1) * scale).unwrap(),
            noise(&[s, r], 2).ge(masked).unwrap().to_dtype(candle_core::DType::F32).unwrap(),
            noise(&[c], 3),
            noise(&[c], 4),
            noise(&[h * d, c], 5),
            noise(&[d, c], 6),
            noise(&[v, c], 7),
            noise(&[h * v, c], 8),
            noise(&[h * v], 9),
            noise(&[c, h * v], 10),
            noise(&[c], 11),
        ]
    }

    #[test]
    fn fused_and_gradient() {
        check(&GlobalAttention { heads: 3 }, &inputs([7, 5, 6, 4, 8], 1.0, -0.5), &ALL);
    }

    #[test]
    fn backward() {
        let op = GlobalAttention { heads: 3 };
        let sizes = [
            ([1, 3, 7, 8, 8], 1.0),
            ([2, 17, 11, 16, 8], 1e3),
            ([17, 2, 9, 8, 32], 1e-4),
            ([33, 19, 16, 8, 7], 1.0),
        ];
        for (sizes, scale) in sizes {
            check_backward(&op, &inputs(sizes, scale, -0.5), &ALL, Some(2e-6));
        }
        let t = inputs([7, 5, 6, 4, 8], 1.0, -0.5);
        for wanted in [&[0][..], &[4], &[6, 8], &[3], &[1, 9]] {
            check_backward(&op, &t, wanted, None);
        }
        // Nothing present: in f32 the mask swallows the logits, in f64 it does not.
        check_backward(&op, &inputs([5, 4, 6, 4, 8], 1.0, 2.0), &ALL, None);
    }
}
