//! Attention layers with their parameters. AF2 Suppl. Alg. 7, 8, 13, 14, 19.

use crate::config::{self, Config};
use crate::layers::{Linear, Norm};
use candle_core::{Result as Tensors, Tensor};
use nn::ops::{AttentionWeights, GlobalAttentionWeights, Orientation};
use nn::{Params, Update, ops};

/// Gated self-attention along rows or columns, with a layer norm before it.
pub struct GatedAttention {
    norm: Norm,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gate: Linear,
    out: Linear,
    heads: usize,
    orientation: Orientation,
}

impl GatedAttention {
    /// `p` holds the layer norm under `norm` and the projections under `mha`; width `c`.
    pub fn load(
        p: &Params,
        norm: &str,
        c: usize,
        config: &config::Attention,
        orientation: Orientation,
    ) -> nn::Result<Self> {
        let (hk, hv) = (config.key_dim.unwrap_or(c), config.value_dim.unwrap_or(c));
        let mha = p.sub("mha");
        Ok(Self {
            norm: Norm::load(&p.sub(norm), c)?,
            q: mha.get("linear_q.weight", &[hk, c])?,
            k: mha.get("linear_k.weight", &[hk, c])?,
            v: mha.get("linear_v.weight", &[hv, c])?,
            gate: Linear::load(&mha.sub("linear_g"), c, hv)?,
            out: Linear::load(&mha.sub("linear_o"), hv, c)?,
            heads: config.num_head,
            orientation,
        })
    }

    /// The update of `x` `[n0, n1, c]` with `mask` `[n0, n1]` and `bias` `[h, n, n]` or none.
    pub fn update(&self, x: &Tensor, mask: &Tensor, bias: Option<&Tensor>) -> Update {
        let w = AttentionWeights {
            norm: self.norm.pair(),
            qkv: (&self.q, &self.k, &self.v),
            gate: self.gate.pair(),
            out: self.out.pair(),
        };
        ops::attention(x, mask, bias, &w, self.heads, self.orientation)
    }
}

/// MSA row attention with pair bias. AF2 Suppl. Alg. 7.
pub struct MsaRowAttention {
    attention: GatedAttention,
    norm_z: Norm,
    weight_z: Tensor,
}

impl MsaRowAttention {
    /// `c` is the MSA's width.
    pub fn load(p: &Params, c: usize, c_z: usize, config: &config::Attention) -> nn::Result<Self> {
        Ok(Self {
            attention: GatedAttention::load(p, "layer_norm_m", c, config, Orientation::PerRow)?,
            norm_z: Norm::load(&p.sub("layer_norm_z"), c_z)?,
            weight_z: p.get("linear_z.weight", &[config.num_head, c_z])?,
        })
    }

    /// The update of `m` `[s, r, c]`, given `z` `[r, r, c_z]`.
    pub fn update(&self, m: &Tensor, z: &Tensor, mask: &Tensor) -> Tensors<Update> {
        let bias = ops::pair_bias(z, self.norm_z.pair(), &self.weight_z, false)?;
        Ok(self.attention.update(m, mask, Some(&bias)))
    }
}

/// Triangle attention around the starting (per row) or ending node (per column). AF2 Suppl. Alg. 13, 14.
pub struct TriangleAttention {
    attention: GatedAttention,
    weight: Tensor,
}

impl TriangleAttention {
    /// `c` is the pair's width.
    pub fn load(
        p: &Params,
        c: usize,
        config: &config::Attention,
        orientation: Orientation,
    ) -> nn::Result<Self> {
        Ok(Self {
            attention: GatedAttention::load(p, "layer_norm", c, config, orientation)?,
            weight: p.get("linear.weight", &[config.num_head, c])?,
        })
    }

    /// The update of `z` `[r, r, c]` with `mask` `[r, r]`.
    pub fn update(&self, z: &Tensor, mask: &Tensor) -> Tensors<Update> {
        let swapped = self.attention.orientation == Orientation::PerColumn;
        let bias = ops::pair_bias(z, self.attention.norm.pair(), &self.weight, swapped)?;
        Ok(self.attention.update(z, mask, Some(&bias)))
    }
}

/// Global column attention of the extra MSA. AF2 Suppl. Alg. 19.
pub struct GlobalColumnAttention {
    norm: Norm,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gate: Linear,
    out: Linear,
    heads: usize,
}

impl GlobalColumnAttention {
    /// `c` is the extra MSA's width.
    pub fn load(p: &Params, c: usize, config: &config::Attention) -> nn::Result<Self> {
        let (hk, hv) = (config.key_dim.unwrap_or(c), config.value_dim.unwrap_or(c));
        let a = p.sub("global_attention");
        Ok(Self {
            norm: Norm::load(&p.sub("layer_norm_m"), c)?,
            q: a.get("linear_q.weight", &[hk, c])?,
            k: a.get("linear_k.weight", &[hk / config.num_head, c])?,
            v: a.get("linear_v.weight", &[hv / config.num_head, c])?,
            gate: Linear::load(&a.sub("linear_g"), c, hv)?,
            out: Linear::load(&a.sub("linear_o"), hv, c)?,
            heads: config.num_head,
        })
    }

    /// The update of `m` `[s, r, c]` with `mask` `[s, r]`.
    pub fn update(&self, m: &Tensor, mask: &Tensor) -> Update {
        let w = GlobalAttentionWeights {
            norm: self.norm.pair(),
            qkv: (&self.q, &self.k, &self.v),
            gate: self.gate.pair(),
            out: self.out.pair(),
        };
        ops::global_attention(m, mask, &w, self.heads)
    }
}

/// Attention of each pair over the templates. AF2 Suppl. Alg. 17. No gate; queries from the pair
/// representation, keys and values from each template's.
pub struct PointwiseAttention {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Linear,
    heads: usize,
}

impl PointwiseAttention {
    /// Parameters below `p`.
    pub fn load(p: &Params, config: &Config) -> nn::Result<Self> {
        let (c_z, c_t) = (config.embeddings_and_evoformer.pair_channel, config.template_channel());
        let a = &config.embeddings_and_evoformer.template.attention;
        let (hk, hv) = (a.key_dim.unwrap_or(c_z), a.value_dim.unwrap_or(c_t));
        Ok(Self {
            q: p.get("linear_q.weight", &[hk, c_z])?,
            k: p.get("linear_k.weight", &[hk, c_t])?,
            v: p.get("linear_v.weight", &[hv, c_t])?,
            out: Linear::load(&p.sub("linear_o"), hv, c_z)?,
            heads: a.num_head,
        })
    }

    /// `z` `[r, r, c_z]`, each template `[r, r, c_t]`, `mask` of the templates → `[r, r, c_z]`.
    pub fn forward(&self, z: &Tensor, templates: &[Tensor], mask: &[f32]) -> Tensors<Tensor> {
        let (r, _, _) = z.dims3()?;
        let split = |x: &Tensor, w: &Tensor| -> Tensors<Tensor> {
            let y = ops::linear(x, w, None)?;
            let d = y.dim(2)? / self.heads;
            y.reshape((r * r, self.heads, d))
        };
        let width = self.q.dim(0)? / self.heads;
        let q = (split(z, &self.q)? * (width as f64).powf(-0.5))?;
        let mut logits = Vec::with_capacity(templates.len());
        for (t, present) in templates.iter().zip(mask) {
            let dot = (&q * split(t, &self.k)?)?.sum(2)?; // [r·r, h]
            logits.push((dot + 1e9 * (*present as f64 - 1.0))?);
        }
        drop(q);
        let weights = ops::softmax_last(&Tensor::stack(&logits, 2)?)?; // [r·r, h, t]
        drop(logits);
        let mut sum: Option<Tensor> = None;
        for (i, t) in templates.iter().enumerate() {
            let part = split(t, &self.v)?.broadcast_mul(&weights.narrow(2, i, 1)?)?;
            sum = Some(match sum {
                None => part,
                Some(s) => (s + part)?,
            });
        }
        let sum = sum.expect("called with templates").flatten_from(1)?;
        self.out.forward(&sum)?.reshape(z.dims())
    }
}
