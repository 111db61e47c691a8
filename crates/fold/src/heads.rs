//! Heads on the representations. AF2 Suppl. 1.9.6–1.9.10.

use crate::config::Config;
use crate::layers::{Linear, Norm};
use candle_core::{Result as Tensors, Tensor};
use nn::Params;

/// pLDDT head: layer norm and three linear layers. AF2 Suppl. Alg. 29.
struct LddtHead {
    norm: Norm,
    layers: [Linear; 3],
}

/// All heads that the configuration has, but the structure module.
pub struct Heads {
    distogram: Option<Linear>,
    masked_msa: Option<Linear>,
    resolved: Option<Linear>,
    lddt: Option<LddtHead>,
    aligned_error: Option<Linear>,
}

/// Logits of the heads.
#[derive(Default)]
pub struct Logits {
    /// `[r, r, bins]`.
    pub distogram: Option<Tensor>,
    /// `[s, r, 23]`.
    pub masked_msa: Option<Tensor>,
    /// `[r, 37]`.
    pub experimentally_resolved: Option<Tensor>,
    /// `[r, bins]`.
    pub predicted_lddt: Option<Tensor>,
    /// `[r, r, bins]`.
    pub predicted_aligned_error: Option<Tensor>,
}

impl Heads {
    /// Parameters below `p`.
    pub fn load(p: &Params, config: &Config) -> nn::Result<Self> {
        let (t, h) = (&config.embeddings_and_evoformer, &config.heads);
        let linear = |name: &str, inner, out| Linear::load(&p.sub(name).sub("linear"), inner, out);
        let lddt = |c: &crate::config::PredictedLddt| -> nn::Result<LddtHead> {
            let p = p.sub("plddt");
            let (inner, n) = (h.structure_module.num_channel, c.num_channels);
            Ok(LddtHead {
                norm: Norm::load(&p.sub("layer_norm"), inner)?,
                layers: [
                    Linear::load(&p.sub("linear_1"), inner, n)?,
                    Linear::load(&p.sub("linear_2"), n, n)?,
                    Linear::load(&p.sub("linear_3"), n, c.num_bins)?,
                ],
            })
        };
        Ok(Self {
            distogram: h
                .distogram
                .as_ref()
                .map(|c| linear("distogram", t.pair_channel, c.num_bins))
                .transpose()?,
            masked_msa: h
                .masked_msa
                .as_ref()
                .map(|c| linear("masked_msa", t.msa_channel, c.num_output))
                .transpose()?,
            resolved: h
                .experimentally_resolved
                .as_ref()
                .map(|_| linear("experimentally_resolved", t.seq_channel, 37))
                .transpose()?,
            lddt: h.predicted_lddt.as_ref().map(lddt).transpose()?,
            aligned_error: h
                .predicted_aligned_error
                .as_ref()
                .map(|c| linear("tm", t.pair_channel, c.num_bins))
                .transpose()?,
        })
    }

    /// From the MSA `[s, r, c_m]` (without template rows), pair and single representations, and the structure
    /// module's single representation.
    pub fn forward(
        &self,
        msa: &Tensor,
        pair: &Tensor,
        single: &Tensor,
        structure: &Tensor,
    ) -> Tensors<Logits> {
        let on = |head: &Option<Linear>, x: &Tensor| head.as_ref().map(|l| l.forward(x)).transpose();
        let half = on(&self.distogram, pair)?;
        let symmetric = |x: Tensor| -> Tensors<Tensor> { &x + x.transpose(0, 1)? };
        let lddt = |head: &LddtHead| -> Tensors<Tensor> {
            let x = head.norm.forward(structure)?;
            head.layers[2].forward(&head.layers[1].relu(&head.layers[0].relu(&x)?)?)
        };
        Ok(Logits {
            distogram: half.map(symmetric).transpose()?,
            masked_msa: on(&self.masked_msa, msa)?,
            experimentally_resolved: on(&self.resolved, single)?,
            predicted_lddt: self.lddt.as_ref().map(lddt).transpose()?,
            predicted_aligned_error: on(&self.aligned_error, pair)?,
        })
    }
}
