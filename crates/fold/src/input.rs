//! Input embedder with relative positions, and the extra MSA's. AF2 Suppl. Alg. 3, 4; Alg. 2 lines 14–15.

use crate::config::Config;
use crate::convert::{from_vec, tensor};
use crate::layers::Linear;
use crate::{Error, Result};
use candle_core::Tensor;
use features::ModelInput;
use nn::{Params, Update, ops};

/// Channels of `target_feat`, `msa_feat` and the extra MSA's features.
const TARGET: usize = 22;
const MSA: usize = 49;
const EXTRA: usize = 25;

/// Embeds the target, the clustered MSA and the relative positions.
pub struct InputEmbedder {
    target_m: Linear,
    msa_m: Linear,
    target_i: Linear,
    target_j: Linear,
    relpos: Option<Linear>,
    clip: i32,
}

impl InputEmbedder {
    /// Parameters below `p`.
    pub fn load(p: &Params, config: &Config) -> nn::Result<Self> {
        let t = &config.embeddings_and_evoformer;
        let (c_m, c_z, clip) = (t.msa_channel, t.pair_channel, t.max_relative_feature);
        let relpos =
            (clip > 0).then(|| Linear::load(&p.sub("linear_relpos"), 2 * clip + 1, c_z)).transpose()?;
        Ok(Self {
            target_m: Linear::load(&p.sub("linear_tf_m"), TARGET, c_m)?,
            msa_m: Linear::load(&p.sub("linear_msa_m"), MSA, c_m)?,
            target_i: Linear::load(&p.sub("linear_tf_z_i"), TARGET, c_z)?,
            target_j: Linear::load(&p.sub("linear_tf_z_j"), TARGET, c_z)?,
            relpos,
            clip: clip as i32,
        })
    }

    /// The clustered MSA's features `[s, r, 49]`, where the parameters are.
    pub fn features(&self, x: &ModelInput) -> Result<Tensor> {
        if x.msa_feat.shape()[2] != MSA || x.target_feat.ncols() != TARGET {
            return Err(Error::Features(format!(
                "expected msa_feat [s, r, {MSA}] and target_feat [r, {TARGET}], got {:?} and {:?}",
                x.msa_feat.shape(),
                x.target_feat.shape()
            )));
        }
        Ok(tensor(&x.msa_feat, self.msa_m.weight.device())?)
    }

    /// `m` `[s, r, c_m]` and `z` `[r, r, c_z]` (without relative positions), of a sample and what [`Self::features`] gives for it.
    pub fn forward(&self, x: &ModelInput, features: Tensor) -> Result<(Tensor, Tensor)> {
        let target = tensor(&x.target_feat, features.device())?;
        let query = self.target_m.forward(&target)?;
        let (r, c_m) = query.dims2()?;
        let query = query.broadcast_as((x.msa_feat.shape()[0], r, c_m))?.contiguous()?;
        let m = self.msa_m.update(&features).onto(query)?;
        drop(features);
        let (i, j) = (self.target_i.forward(&target)?, self.target_j.forward(&target)?);
        Ok((m, i.unsqueeze(1)?.broadcast_add(&j.unsqueeze(0)?)?))
    }

    /// Relative positions `[r, r, c_z]`, to be added to the pair: a column of the weight for each clipped offset, plus
    /// the bias.
    pub fn relative_positions(&self, x: &ModelInput) -> Result<Option<Update>> {
        let Some(linear) = &self.relpos else { return Ok(None) };
        let (r, clip) = (x.num_res(), i64::from(self.clip));
        let index = &x.residue_index;
        let offsets: Vec<u32> = (0..r * r)
            .map(|p| i64::from(index[p / r]) - i64::from(index[p % r]))
            .map(|d| (d + clip).clamp(0, 2 * clip) as u32)
            .collect();
        let rows = linear.weight.t()?.broadcast_add(&linear.bias)?.contiguous()?;
        Ok(Some(ops::lookup(&rows, offsets)))
    }
}

/// Embeds the extra MSA.
pub struct ExtraEmbedder(Linear);

impl ExtraEmbedder {
    /// Parameters below `p`.
    pub fn load(p: &Params, config: &Config) -> nn::Result<Self> {
        Ok(Self(Linear::load(&p.sub("linear"), EXTRA, config.embeddings_and_evoformer.extra_msa_channel)?))
    }

    /// Residue types, has-deletion and deletion value, `[e, r, 25]`, where the parameters are.
    pub fn features(&self, x: &ModelInput) -> Result<Tensor> {
        let (e, r) = (x.num_extra(), x.num_res());
        let mut feat = vec![0.0; e * r * EXTRA];
        let columns = x.extra_msa.iter().zip(&x.extra_has_deletion).zip(&x.extra_deletion_value);
        for (row, ((&kind, &has), &value)) in feat.chunks_exact_mut(EXTRA).zip(columns) {
            if let Some(one) = usize::try_from(kind).ok().and_then(|k| row[..23].get_mut(k)) {
                *one = 1.0;
            }
            (row[23], row[24]) = (has, value);
        }
        Ok(from_vec(feat, &[e, r, EXTRA], self.0.weight.device())?)
    }

    /// `[e, r, c_e]` of what [`Self::features`] gives.
    pub fn forward(&self, features: Tensor) -> Result<Tensor> {
        if features.dim(0)? == 0 {
            return Ok(features.narrow(2, 0, 0)?); // nothing to embed; the blocks look at the number of rows only
        }
        Ok(self.0.forward(&features)?)
    }
}
