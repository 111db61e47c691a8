//! The `data` section of AlphaFold's model configuration, typed. Unknown keys are refused.

use crate::Error;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// How raw features become network input: AlphaFold's `data` section.
/// Read with serde: `serde_json::from_value::<FeatureConfig>(json["data"].clone())`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureConfig {
    /// Settings shared by training and inference.
    pub common: CommonConfig,
    /// Sizes and ensembling.
    pub eval: EvalConfig,
}

/// `data.common`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommonConfig {
    /// Replacement mixture of the masked MSA; without it nothing is masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_msa: Option<MaskedMsa>,
    /// Extra rows kept; 0 keeps none.
    pub max_extra_msa: usize,
    /// Whether cluster profiles and deletion means become part of `msa_feat`.
    pub msa_cluster_features: bool,
    /// Recycles, not counting the first pass.
    pub num_recycle: usize,
    /// Take the rows of templates out of `max_msa_clusters`.
    pub reduce_msa_clusters_by_max_templates: bool,
    /// Sample rows anew for every recycle.
    pub resample_msa_in_recycling: bool,
    /// Whether template features are made.
    pub use_templates: bool,
    /// Block deletion before sampling (Suppl. Alg. 1); not in AlphaFold's inference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_delete_msa: Option<BlockDeletion>,
    /// Share of residues replaced by X in the MSA and the query; AlphaFold's inference has 0.
    #[serde(default)]
    pub replace_msa_with_unknown: f32,
    /// Names of the raw template arrays; fixed here, accepted so that AlphaFold's file can be read.
    #[serde(default, skip_serializing)]
    pub template_features: IgnoredAny,
    /// Names of the raw arrays; fixed here, accepted so that AlphaFold's file can be read.
    #[serde(default, skip_serializing)]
    pub unsupervised_features: IgnoredAny,
}

/// `data.common.masked_msa`: what replaces a masked residue. The rest of the probability is the mask token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskedMsa {
    /// A residue drawn from the column's profile.
    pub profile_prob: f64,
    /// The residue itself.
    pub same_prob: f64,
    /// One of the twenty residues, uniformly.
    pub uniform_prob: f64,
}

/// Suppl. Alg. 1, MSABlockDeletion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockDeletion {
    /// Share of all rows that one block deletes.
    pub msa_fraction_per_block: f32,
    /// Draw the number of blocks from 0..=`num_blocks`.
    pub randomize_num_blocks: bool,
    /// Blocks to delete.
    pub num_blocks: usize,
}

/// `data.eval`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Pad to `crop_size`, `max_msa_clusters`, `max_extra_msa` and `max_templates`.
    pub fixed_size: bool,
    /// Draw templates at random instead of keeping the first ones.
    pub subsample_templates: bool,
    /// Share of positions that are masked.
    pub masked_msa_replace_fraction: f32,
    /// Clustered rows, the templates' rows included.
    pub max_msa_clusters: usize,
    /// Templates kept.
    pub max_templates: usize,
    /// Ensemble members averaged in each recycle.
    pub num_ensemble: usize,
    /// Residues kept, a contiguous random window; `None` keeps all, as AlphaFold's inference does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_size: Option<usize>,
    /// Shapes of the processed arrays; fixed here, accepted so that AlphaFold's file can be read.
    #[serde(default, skip_serializing)]
    pub feat: IgnoredAny,
}

impl FeatureConfig {
    /// Rows that are sampled as cluster centres.
    pub fn num_clusters(&self) -> usize {
        let reduce =
            if self.common.reduce_msa_clusters_by_max_templates { self.eval.max_templates } else { 0 };
        self.eval.max_msa_clusters.saturating_sub(reduce)
    }

    /// Samples drawn: (recycles + 1) · ensemble, or the ensemble only if recycles share their rows.
    pub fn num_samples(&self) -> usize {
        let passes =
            if self.common.resample_msa_in_recycling { self.common.num_recycle.saturating_add(1) } else { 1 };
        passes.saturating_mul(self.eval.num_ensemble)
    }

    /// Checks ranges and combinations.
    ///
    /// # Errors
    /// `Error::Config` with the setting, what is allowed and what it is.
    pub fn validate(&self) -> Result<(), Error> {
        let fail = |what: String| Err(Error::Config(what));
        if self.num_clusters() == 0 {
            return fail(format!(
                "max_msa_clusters: expected at least 1 row beside the templates', got {}",
                self.eval.max_msa_clusters
            ));
        }
        if self.eval.num_ensemble == 0 {
            return fail("num_ensemble: expected at least 1, got 0".into());
        }
        if self.num_samples() > MAX_SAMPLES {
            return fail(format!(
                "{} samples of recycles and ensembles, at most {MAX_SAMPLES}",
                self.num_samples()
            ));
        }
        if self.eval.crop_size == Some(0) {
            return fail("crop_size: expected at least 1, got 0".into());
        }
        for (name, value) in [
            ("masked_msa_replace_fraction", self.eval.masked_msa_replace_fraction),
            ("replace_msa_with_unknown", self.common.replace_msa_with_unknown),
            (
                "msa_fraction_per_block",
                self.common.block_delete_msa.map_or(0.0, |b| b.msa_fraction_per_block),
            ),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return fail(format!("{name}: expected a share from 0 to 1, got {value}"));
            }
        }
        if let Some(masked) = self.common.masked_msa {
            let parts = [masked.profile_prob, masked.same_prob, masked.uniform_prob];
            if parts.iter().any(|p| !(0.0..=1.0).contains(p)) || masked.mask_prob() < 0.0 {
                return fail(format!("masked_msa: expected shares that sum to at most 1, got {parts:?}"));
            }
        }
        if self.common.block_delete_msa.is_some_and(|b| b.num_blocks > MAX_SAMPLES) {
            return fail(format!("num_blocks: expected at most {MAX_SAMPLES}"));
        }
        Ok(())
    }
}

/// A bound on samples and blocks, so that a typo cannot ask for all memory.
const MAX_SAMPLES: usize = 10_000;

impl MaskedMsa {
    /// Probability of the mask token: what the others leave, subtracted in AlphaFold's order.
    pub fn mask_prob(&self) -> f64 {
        1.0 - self.profile_prob - self.same_prob - self.uniform_prob
    }
}
