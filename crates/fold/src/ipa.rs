//! Invariant point attention. AF2 Suppl. Alg. 22.
//! Points are split into x, y, z first, then into heads, as AlphaFold stores them.

use crate::config::StructureModule;
use crate::frames::Frames;
use crate::layers::Linear;
use candle_core::{Result, Tensor};
use nn::{Params, ops};

/// Attention over residues by features, points in space and pairs.
pub struct InvariantPointAttention {
    q: Linear,
    kv: Linear,
    q_points: Linear,
    kv_points: Linear,
    pair_bias: Linear,
    head_weights: Tensor,
    out: Linear,
    heads: usize,
    scalar_qk: usize,
    points_qk: usize,
}

impl InvariantPointAttention {
    /// Parameters below `p`; `c_z` is the pair's width.
    pub fn load(p: &Params, c_z: usize, s: &StructureModule) -> nn::Result<Self> {
        let (h, c) = (s.num_head, s.num_channel);
        let features = h * (s.num_scalar_v + 4 * s.num_point_v + c_z);
        Ok(Self {
            q: Linear::load(&p.sub("linear_q"), c, h * s.num_scalar_qk)?,
            kv: Linear::load(&p.sub("linear_kv"), c, h * (s.num_scalar_qk + s.num_scalar_v))?,
            q_points: Linear::load(&p.sub("linear_q_points.linear"), c, h * 3 * s.num_point_qk)?,
            kv_points: Linear::load(
                &p.sub("linear_kv_points.linear"),
                c,
                h * 3 * (s.num_point_qk + s.num_point_v),
            )?,
            pair_bias: Linear::load(&p.sub("linear_b"), c_z, h)?,
            head_weights: p.get("head_weights", &[h])?,
            out: Linear::load(&p.sub("linear_out"), features, c)?,
            heads: h,
            scalar_qk: s.num_scalar_qk,
            points_qk: s.num_point_qk,
        })
    }

    /// The update of `s` `[r, c]`, given `z` `[r, r, c_z]`, `mask` `[r]` and frames.
    pub fn forward(&self, s: &Tensor, z: &Tensor, mask: &Tensor, frames: &Frames) -> Result<Tensor> {
        let (r, h) = (s.dim(0)?, self.heads);
        // [r, h·d] → [h, r, d]
        let heads = |x: &Tensor| -> Result<Tensor> { x.reshape((r, h, ()))?.transpose(0, 1)?.contiguous() };
        let points = |x: &Linear| -> Result<[Tensor; 3]> {
            let x = x.forward(s)?;
            let n = x.dim(1)? / 3;
            let local = [x.narrow(1, 0, n)?, x.narrow(1, n, n)?, x.narrow(1, 2 * n, n)?];
            frames.apply(&local)
        };

        // Scalars, pairs and points have equal variance in the logits: a third each.
        let q = (heads(&self.q.forward(s)?)? * (1.0 / (3.0 * self.scalar_qk as f64)).sqrt())?;
        let kv = heads(&self.kv.forward(s)?)?;
        let d_v = kv.dim(2)? - self.scalar_qk;
        let k = kv.narrow(2, 0, self.scalar_qk)?.contiguous()?;
        let v = kv.narrow(2, self.scalar_qk, d_v)?.contiguous()?;
        let mut logits = q.matmul(&k.t()?)?;

        let q_points = points(&self.q_points)?;
        let kv_points = points(&self.kv_points)?;
        let mut distances: Option<Tensor> = None; // [h, r, r], squared
        let mut v_points = Vec::with_capacity(3);
        for (q, kv) in q_points.iter().zip(&kv_points) {
            let (q, kv) = (heads(q)?, heads(kv)?);
            for p in 0..self.points_qk {
                let q = q.narrow(2, p, 1)?; // [h, r, 1]
                let k = kv.narrow(2, p, 1)?.transpose(1, 2)?;
                let d = q.broadcast_sub(&k)?.sqr()?;
                distances = Some(match distances {
                    None => d,
                    Some(sum) => (sum + d)?,
                });
            }
            v_points.push(kv.narrow(2, self.points_qk, kv.dim(2)? - self.points_qk)?.contiguous()?);
        }
        let distances = distances.expect("at least one query point");
        let softplus = (self.head_weights.exp()? + 1.0)?.log()?;
        let weight = (softplus * (-0.5 * (1.0 / (3.0 * self.points_qk as f64 * 4.5)).sqrt()))?;
        logits = (logits + distances.broadcast_mul(&weight.reshape((h, 1, 1))?)?)?;

        let bias = self.pair_bias.forward(z)?.permute((2, 0, 1))?.contiguous()?;
        logits = (logits + (bias * (1.0f64 / 3.0).sqrt())?)?;
        let both = mask.unsqueeze(1)?.broadcast_mul(&mask.unsqueeze(0)?)?;
        logits = logits.broadcast_add(&((both - 1.0)? * 1e5)?.unsqueeze(0)?)?;
        let attention = ops::softmax_last(&logits)?; // [h, r, r]

        let flat = |x: Tensor| -> Result<Tensor> { x.transpose(0, 1)?.contiguous()?.flatten_from(1) };
        let mut features = vec![flat(attention.matmul(&v)?)?];
        let global = [
            flat(attention.matmul(&v_points[0])?)?,
            flat(attention.matmul(&v_points[1])?)?,
            flat(attention.matmul(&v_points[2])?)?,
        ];
        let local = frames.invert(&global)?;
        let norm = ((local[0].sqr()? + local[1].sqr()?)? + local[2].sqr()?)?;
        features.extend(local);
        features.push((norm + 1e-8)?.sqrt()?);
        let over_pairs = attention.transpose(0, 1)?.contiguous()?.matmul(z)?; // [r, h, c_z]
        features.push(over_pairs.flatten_from(1)?);
        self.out.forward(&Tensor::cat(&features, 1)?)
    }
}
