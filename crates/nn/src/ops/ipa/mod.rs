//! Invariant point attention: by features, by points that every residue places in its own frame, and by pairs.
//! AF2 Suppl. Alg. 22.
//!
//! Fused: all residues are projected once, then a few queries at a time attend. A row of the pair representation
//! gives the queries' bias and is summed by their weights while it is in the cache; nothing of size [h, r, r] is
//! ever made. Points are stored as AlphaFold does: all x, then y, then z, each by head.

mod backward;
mod forward;
mod project;
mod sizes;
mod to_inputs;

use super::plain;
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update, reference_backward};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};
pub(crate) use sizes::{Sizes, point_factor};

/// Weights, each with its bias; linear weights are `[out, in]`. h heads, d channels of queries and keys, v of values,
/// p points of queries and keys, w of values.
pub struct PointAttentionWeights<'a> {
    /// Queries `[h·d, c]`.
    pub q: (&'a Tensor, &'a Tensor),
    /// Keys and values of each head `[h·(d + v), c]`.
    pub kv: (&'a Tensor, &'a Tensor),
    /// Points of queries `[3·h·p, c]`.
    pub q_points: (&'a Tensor, &'a Tensor),
    /// Points of keys and values of each head `[3·h·(p + w), c]`.
    pub kv_points: (&'a Tensor, &'a Tensor),
    /// Bias from pairs `[h, c_z]`.
    pub pair_bias: (&'a Tensor, &'a Tensor),
    /// What squared distances weigh, before softplus, `[h]`.
    pub head_weights: &'a Tensor,
    /// Output `[c, h·(v + 4·w + c_z)]`: values, x, y, z, norms, pairs.
    pub out: (&'a Tensor, &'a Tensor),
}

/// The update of `s` `[r, c]`, to be added to it.
/// - `z` `[r, r, c_z]` (query, key); `mask` `[r]`, 1 = present
/// - `frames` rotations `[r, 3, 3]` and translations `[r, 3]`: a point x of residue i lies at rotationᵢ·x + translationᵢ
///
/// As in AlphaFold's code, pairs of which one is masked get −1e5, and ε = 1e-8 is added inside the root of norms.
pub fn invariant_point_attention(
    s: &Tensor,
    z: &Tensor,
    mask: &Tensor,
    frames: (&Tensor, &Tensor),
    w: &PointAttentionWeights<'_>,
) -> Update {
    let mut inputs = vec![s, z, mask, frames.0, frames.1];
    for (weight, bias) in [w.q, w.kv, w.q_points, w.kv_points, w.pair_bias] {
        inputs.extend([weight, bias]);
    }
    inputs.extend([w.head_weights, w.out.0, w.out.1]);
    Update::new(PointAttention, &inputs)
}

struct PointAttention;

/// Added inside the root of norms.
const EPS: f32 = 1e-8;
/// Added to the logits of pairs of which one is masked, with a minus sign.
const MASKED: f32 = 1e5;

impl Fused for PointAttention {
    fn name(&self) -> &'static str {
        "invariant_point_attention"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        Sizes::of(t)?;
        Ok(t[0].shape().clone())
    }

    fn may_alias(&self) -> bool {
        true
    }

    fn forward(&self, t: &[Tensor], s: Source<'_>, out: Place<'_>) -> Result<()> {
        forward::forward(t, s, out)
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::invariant_point_attention(job)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        faces::invariant_point_attention_backward(job)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let Sizes { r, h, dk, dv, pq, pv, .. } = Sizes::of(t)?;
        let (s, z, mask, rotation, translation) = (&t[0], &t[1], &t[2], &t[3], t[4].to_dtype(t[0].dtype())?);
        let linear = |x: &Tensor, i: usize| plain::linear(x, &t[i], &t[i + 1]);
        // [r, h·d] → [h, r, d]
        let heads = |x: &Tensor| -> Result<Tensor> { x.reshape((r, h, ()))?.transpose(0, 1)?.contiguous() };
        let part = |x: &Tensor, start: usize, len: usize| x.narrow(2, start, len)?.contiguous();
        let entry = |i: usize, j: usize| rotation.narrow(1, i, 1)?.narrow(2, j, 1)?.squeeze(2); // [r, 1]
        // Points in space, [h, r, p] for each axis.
        let placed = |i: usize| -> Result<Vec<Tensor>> {
            let local = linear(s, i)?.chunk(3, 1)?;
            let axis = |a: usize| -> Result<Tensor> {
                let mut sum = translation.narrow(1, a, 1)?.broadcast_as(local[0].shape())?.contiguous()?;
                for (b, x) in local.iter().enumerate() {
                    sum = (sum + x.broadcast_mul(&entry(a, b)?)?)?;
                }
                heads(&sum)
            };
            (0..3).map(axis).collect()
        };

        // Scalars, pairs and points have equal variance in the logits: a third each.
        let q = (heads(&linear(s, 5)?)? * (1.0 / (3.0 * dk as f64)).sqrt())?;
        let kv = heads(&linear(s, 7)?)?;
        let mut logits = q.matmul(&part(&kv, 0, dk)?.t()?)?; // [h, r, r]
        let (q_points, kv_points) = (placed(9)?, placed(11)?);
        let mut distances = logits.zeros_like()?;
        for (q, kv) in q_points.iter().zip(&kv_points) {
            for p in 0..pq {
                let d = q.narrow(2, p, 1)?.broadcast_sub(&kv.narrow(2, p, 1)?.transpose(1, 2)?)?;
                distances = (distances + d.sqr()?)?;
            }
        }
        // ln(1 + eˣ) that does not overflow.
        let softplus = (t[15].relu()? + (t[15].abs()?.neg()?.exp()? + 1.0)?.log()?)?;
        let weight = (softplus * point_factor(pq))?.reshape((h, 1, 1))?;
        logits = (logits + distances.broadcast_mul(&weight)?)?;
        let bias = linear(z, 13)?.permute((2, 0, 1))?.contiguous()?;
        logits = (logits + (bias * (1.0f64 / 3.0).sqrt())?)?;
        let both = mask.unsqueeze(1)?.broadcast_mul(&mask.unsqueeze(0)?)?;
        logits = logits.broadcast_add(&((both - 1.0)? * f64::from(MASKED))?.unsqueeze(0)?)?;
        let attention = plain::softmax_last(&logits)?;

        let flat = |x: Tensor| -> Result<Tensor> { x.transpose(0, 1)?.contiguous()?.flatten_from(1) };
        let mut features = vec![flat(attention.matmul(&part(&kv, dk, dv)?)?)?];
        let mut away = Vec::with_capacity(3);
        for (axis, points) in kv_points.iter().enumerate() {
            let global = flat(attention.matmul(&part(points, pq, pv)?)?)?; // [r, h·pv]
            away.push(global.broadcast_sub(&translation.narrow(1, axis, 1)?)?);
        }
        let mut square: Option<Tensor> = None;
        for b in 0..3 {
            let mut local = away[0].broadcast_mul(&entry(0, b)?)?;
            for a in 1..3 {
                local = (local + away[a].broadcast_mul(&entry(a, b)?)?)?;
            }
            square = Some(match square {
                None => local.sqr()?,
                Some(sum) => (sum + local.sqr()?)?,
            });
            features.push(local);
        }
        features.push((square.expect("three axes") + f64::from(EPS))?.sqrt()?);
        let over_pairs = attention.transpose(0, 1)?.contiguous()?.matmul(z)?; // [r, h, c_z]
        features.push(over_pairs.flatten_from(1)?);
        linear(&Tensor::cat(&features, 1)?, 16)
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        if wanted[2] {
            return reference_backward(self, t, grad, wanted); // nobody learns a mask
        }
        backward::backward(t, grad, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradcheck::check_backward;
    use super::super::plain::testing::{check, noise};
    use super::*;
    use candle_core::{DType, Device};

    const ALL: [usize; 17] = [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17];
    const HEADS: usize = 3;

    /// `r` residues, `[c, cz, dk, dv, pq, pv]`; s, z and translations times `scale`; of the mask, numbers above
    /// `masked` are 1.
    fn inputs(r: usize, [c, cz, dk, dv, pq, pv]: [usize; 6], scale: f64, masked: f64) -> Vec<Tensor> {
        let h = HEADS;
        let mut t = vec![
            (noise(&[r, c], 1) * scale).unwrap(),
            (noise(&[r, r, cz], 2) * scale).unwrap(),
            noise(&[r], 3).ge(masked).unwrap().to_dtype(DType::F32).unwrap(),
            rotations(r),
            (noise(&[r, 3], 5) * scale).unwrap(),
        ];
        let outs = [h * dk, h * (dk + dv), 3 * h * pq, 3 * h * (pq + pv)];
        for (i, &out) in outs.iter().enumerate() {
            let weight = (noise(&[out, c], 10 + i as u64) * (1.0 / (c as f64).sqrt())).unwrap();
            t.extend([weight, noise(&[out], 20 + i as u64)]);
        }
        t.extend([noise(&[h, cz], 30), noise(&[h], 31), noise(&[h], 32)]);
        t.extend([noise(&[c, h * (dv + 4 * pv + cz)], 33), noise(&[c], 34)]);
        t
    }

    /// Of unit quaternions.
    fn rotations(r: usize) -> Tensor {
        let q = noise(&[r, 4], 4).to_vec2::<f32>().unwrap();
        let matrices = q.iter().flat_map(|q| {
            let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt();
            let [w, x, y, z] = [0, 1, 2, 3].map(|i| q[i] / norm);
            [
                1.0 - 2.0 * (y * y + z * z),
                2.0 * (x * y - w * z),
                2.0 * (x * z + w * y),
                2.0 * (x * y + w * z),
                1.0 - 2.0 * (x * x + z * z),
                2.0 * (y * z - w * x),
                2.0 * (x * z - w * y),
                2.0 * (y * z + w * x),
                1.0 - 2.0 * (x * x + y * y),
            ]
        });
        Tensor::from_vec(matrices.collect(), (r, 3, 3), &Device::Cpu).unwrap()
    }

    /// Everything is present.
    const NONE: f64 = -2.0;

    #[test]
    fn fused_and_gradient() {
        let some = [0, 1, 3, 4, 5, 7, 9, 11, 13, 15, 16];
        check(&PointAttention, &inputs(7, [10, 6, 4, 5, 2, 3], 1.0, NONE), &some);
        check(&PointAttention, &inputs(29, [11, 33, 16, 8, 4, 2], 0.5, NONE), &[0, 1, 3, 4, 16, 17]);
    }

    #[test]
    fn backward_at_odd_sizes() {
        let sizes = [
            (1, [9, 7, 4, 5, 2, 3], 1.0),
            (2, [17, 8, 16, 9, 4, 1], 1e3),
            (17, [8, 33, 5, 16, 1, 8], 1e-4),
            (33, [19, 16, 8, 7, 3, 2], 1.0),
            (130, [12, 18, 16, 16, 4, 8], 1.0),
        ];
        for (r, sizes, scale) in sizes {
            check_backward(&PointAttention, &inputs(r, sizes, scale, NONE), &ALL, Some(2e-6));
        }
    }

    #[test]
    fn backward_of_masked_residues() {
        // In f32 the mask swallows the low bits of a masked query's logits, in f64 it does not: there is nothing to
        // compare with.
        check_backward(&PointAttention, &inputs(29, [12, 9, 8, 5, 2, 3], 1.0, -0.5), &ALL, None);
        check_backward(&PointAttention, &inputs(6, [12, 9, 8, 5, 2, 3], 1.0, 2.0), &ALL, None);
    }

    #[test]
    fn only_what_is_wanted() {
        let t = inputs(15, [7, 6, 4, 5, 2, 3], 1.0, -0.6);
        for wanted in [&[0][..], &[1], &[3], &[4, 6], &[13, 16], &[15], &[17], &[2, 9]] {
            check_backward(&PointAttention, &t, wanted, None);
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let mut t = inputs(5, [7, 6, 4, 5, 2, 3], 1.0, -0.6);
        t[13] = noise(&[HEADS, 5], 1);
        let error = PointAttention.shape(&t).unwrap_err().to_string();
        assert!(error.contains("input 13: expected [3, 6], got [3, 5]"), "{error}");
    }
}
