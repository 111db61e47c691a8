//! Recycling embedder: what the previous pass made, added to this pass's input. AF2 Suppl. Alg. 32.
//! The first pass recycles zeros: the layer norms then give their offset, the distances an all-zero row.

use crate::Result;
use crate::config::{Bins, Config};
use crate::convert::{distance_bins, distance_bins_of, from_vec, triples, values};
use crate::layers::{Linear, Norm};
use crate::outputs::Previous;
use candle_core::Tensor;
use nn::{Params, ops};

/// Embeds the previous first MSA row, pair representation and positions.
pub struct RecyclingEmbedder {
    norms: Option<(Norm, Norm)>,
    distances: Option<Linear>,
    bins: Bins,
}

impl RecyclingEmbedder {
    /// Parameters below `p`.
    pub fn load(p: &Params, config: &Config) -> nn::Result<Self> {
        let t = &config.embeddings_and_evoformer;
        let norms = || -> nn::Result<_> {
            Ok((
                Norm::load(&p.sub("layer_norm_m"), t.msa_channel)?,
                Norm::load(&p.sub("layer_norm_z"), t.pair_channel)?,
            ))
        };
        Ok(Self {
            norms: t.recycle_features.then(norms).transpose()?,
            distances: t
                .recycle_pos
                .then(|| Linear::load(&p.sub("linear"), t.prev_pos.num_bins, t.pair_channel))
                .transpose()?,
            bins: t.prev_pos.clone(),
        })
    }

    /// Adds to `m` (first row only) and `z`. `aatype` chooses Cβ, or Cα for glycine.
    pub fn forward(
        &self,
        m: Tensor,
        z: Tensor,
        previous: &Previous,
        aatype: &[u8],
    ) -> Result<(Tensor, Tensor)> {
        let (mut m, mut z, r) = (m, z, aatype.len());
        if let Some(linear) = &self.distances {
            let beta: Vec<u32> =
                (0..r).map(|i| (i * 37 + chem::atoms::pseudo_beta(aatype[i])) as u32).collect();
            let (bins, min, max) = (self.bins.num_bins, self.bins.min_bin, self.bins.max_bin);
            let bins = if z.device().is_cpu() {
                let positions = triples(&values(&previous.positions)?);
                let beta: Vec<[f32; 3]> = beta.iter().map(|&i| positions[i as usize]).collect();
                from_vec(distance_bins(&beta, bins, min, max), &[r, r, bins], z.device())?
            } else {
                let beta = nn::cuda::upload(beta, r, z.device())?;
                let beta = previous.positions.reshape((r * 37, 3))?.index_select(&beta, 0)?;
                distance_bins_of(&beta, bins, min, max)?
            };
            z = linear.update(&bins).onto(z)?;
        }
        if let Some((norm_m, norm_z)) = &self.norms {
            let (scale, offset) = norm_m.pair();
            let row = previous.msa_first_row.unsqueeze(0)?;
            let first = ops::layer_norm(&row, scale, offset).onto(m.narrow(0, 0, 1)?)?;
            // Where no gradient is kept, the row has been changed where it lies.
            if first.track_op() {
                let rows = m.dim(0)?;
                m = if rows > 1 { Tensor::cat(&[&first, &m.narrow(0, 1, rows - 1)?], 0)? } else { first };
            }
            let (scale, offset) = norm_z.pair();
            z = ops::layer_norm(&previous.pair, scale, offset).onto(z)?;
        }
        Ok((m, z))
    }
}
