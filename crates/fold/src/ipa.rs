//! Invariant point attention with its parameters. AF2 Suppl. Alg. 22.

use crate::config::StructureModule;
use crate::frames::Frames;
use crate::layers::Linear;
use candle_core::{Result, Tensor};
use nn::Params;
use nn::ops::{self, PointAttentionWeights};

/// Attention over residues by features, points in space and pairs.
pub struct InvariantPointAttention {
    q: Linear,
    kv: Linear,
    q_points: Linear,
    kv_points: Linear,
    pair_bias: Linear,
    head_weights: Tensor,
    out: Linear,
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
        })
    }

    /// The update of `s` `[r, c]`, given `z` `[r, r, c_z]`, `mask` `[r]` and frames.
    pub fn forward(&self, s: &Tensor, z: &Tensor, mask: &Tensor, frames: &Frames) -> Result<Tensor> {
        let weights = PointAttentionWeights {
            q: self.q.pair(),
            kv: self.kv.pair(),
            q_points: self.q_points.pair(),
            kv_points: self.kv_points.pair(),
            pair_bias: self.pair_bias.pair(),
            head_weights: &self.head_weights,
            out: self.out.pair(),
        };
        ops::invariant_point_attention(s, z, mask, (&frames.rotation()?, &frames.translation()?), &weights)
            .tensor()
    }
}
