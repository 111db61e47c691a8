//! Weights, bins and tolerances of the losses: AlphaFold's `model.heads`, under its own names.
//!
//! `serde_json::from_value::<LossConfig>(config["model"]["heads"])` reads AlphaFold's configuration; keys of the
//! network (channels, layers) are passed over, a head that is absent has weight 0.

use crate::{Error, Result};
use serde::Deserialize;

/// Everything the losses are configured by. A head of weight 0 is not computed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LossConfig {
    /// Distances between residues, in bins.
    #[serde(default)]
    pub distogram: DistogramConfig,
    /// Which atoms an experiment resolves.
    #[serde(default)]
    pub experimentally_resolved: ResolvedConfig,
    /// Masked MSA entries.
    #[serde(default)]
    pub masked_msa: MaskedMsaConfig,
    /// Aligned error between residue pairs.
    #[serde(default)]
    pub predicted_aligned_error: PaeConfig,
    /// lDDT of each residue.
    #[serde(default)]
    pub predicted_lddt: PlddtConfig,
    /// Coordinates, torsions, violations.
    pub structure_module: StructureConfig,
}

/// Distogram head. Bin edges run from `first_break` to `last_break`, Å, in `num_bins - 1` equal steps.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "AlphaFold's names, explained above")]
pub struct DistogramConfig {
    pub first_break: f64,
    pub last_break: f64,
    pub num_bins: usize,
    pub weight: f64,
}

impl Default for DistogramConfig {
    fn default() -> Self {
        Self { first_break: 2.3125, last_break: 21.6875, num_bins: 64, weight: 0.0 }
    }
}

/// Which structures teach a confidence head: those of good enough resolution.
/// NMR models and distillation targets have resolution 0 and fall out.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct ResolutionFilter {
    /// False: every structure counts.
    pub filter_by_resolution: bool,
    /// Smallest resolution that counts, Å.
    pub min_resolution: f32,
    /// Largest resolution that counts, Å.
    pub max_resolution: f32,
}

impl ResolutionFilter {
    /// Whether a structure of this resolution (Å) counts; both ends do.
    pub fn admits(&self, resolution: f32) -> bool {
        !self.filter_by_resolution || (self.min_resolution..=self.max_resolution).contains(&resolution)
    }
}

impl Default for ResolutionFilter {
    fn default() -> Self {
        Self { filter_by_resolution: true, min_resolution: 0.1, max_resolution: 3.0 }
    }
}

/// Experimentally-resolved head.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[expect(missing_docs, reason = "AlphaFold's names")]
pub struct ResolvedConfig {
    #[serde(flatten)]
    pub filter: ResolutionFilter,
    pub weight: f64,
}

/// Masked-MSA head: 23 classes (20 residue types, unknown, gap, mask).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "AlphaFold's names")]
pub struct MaskedMsaConfig {
    #[serde(default = "masked_msa_classes")]
    pub num_output: usize,
    pub weight: f64,
}

fn masked_msa_classes() -> usize {
    23
}

impl Default for MaskedMsaConfig {
    fn default() -> Self {
        Self { num_output: masked_msa_classes(), weight: 0.0 }
    }
}

/// Aligned-error head. Bin edges run from 0 to `max_error_bin`, Å, in `num_bins - 1` equal steps.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "AlphaFold's names, explained above")]
pub struct PaeConfig {
    #[serde(flatten)]
    pub filter: ResolutionFilter,
    pub max_error_bin: f64,
    pub num_bins: usize,
    pub weight: f64,
}

impl Default for PaeConfig {
    fn default() -> Self {
        Self { filter: ResolutionFilter::default(), max_error_bin: 31.0, num_bins: 64, weight: 0.0 }
    }
}

/// pLDDT head: `num_bins` equal bins over 0–1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "AlphaFold's names, explained above")]
pub struct PlddtConfig {
    #[serde(flatten)]
    pub filter: ResolutionFilter,
    pub num_bins: usize,
    pub weight: f64,
}

impl Default for PlddtConfig {
    fn default() -> Self {
        Self { filter: ResolutionFilter::default(), num_bins: 50, weight: 0.0 }
    }
}

/// Backbone FAPE. Distances in Å.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "AlphaFold's names")]
pub struct FapeConfig {
    pub clamp_distance: f64,
    pub loss_unit_distance: f64,
}

/// Side-chain FAPE. Distances in Å.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "AlphaFold's names")]
pub struct SidechainConfig {
    pub atom_clamp_distance: f64,
    pub length_scale: f64,
    /// Share of side-chain FAPE in the FAPE part; the backbone has the rest.
    pub weight_frac: f64,
}

/// Structure-module loss.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StructureConfig {
    /// Backbone FAPE.
    pub fape: FapeConfig,
    /// Side-chain FAPE.
    pub sidechain: SidechainConfig,
    /// Weight of the χ angles' error.
    pub chi_weight: f64,
    /// Weight of the torsion vectors' distance from unit length.
    pub angle_norm_weight: f64,
    /// Overlap of van der Waals spheres that is no clash yet, Å.
    pub clash_overlap_tolerance: f64,
    /// Standard deviations a bond or angle may be off.
    pub violation_tolerance_factor: f64,
    /// Weight of the violations; 0 leaves them out.
    pub structural_violation_loss_weight: f64,
    /// Weight of the head.
    pub weight: f64,
}

impl LossConfig {
    /// AlphaFold's fine-tuning losses without the aligned-error head: `model_1` … `model_5`. Suppl. 1.9, eq. 7.
    pub fn fine_tuning() -> Self {
        Self {
            distogram: DistogramConfig { weight: 0.3, ..Default::default() },
            experimentally_resolved: ResolvedConfig { weight: 0.01, ..Default::default() },
            masked_msa: MaskedMsaConfig { weight: 2.0, ..Default::default() },
            predicted_aligned_error: PaeConfig::default(),
            predicted_lddt: PlddtConfig { weight: 0.01, ..Default::default() },
            structure_module: StructureConfig {
                fape: FapeConfig { clamp_distance: 10.0, loss_unit_distance: 10.0 },
                sidechain: SidechainConfig {
                    atom_clamp_distance: 10.0,
                    length_scale: 10.0,
                    weight_frac: 0.5,
                },
                chi_weight: 0.5,
                angle_norm_weight: 0.01,
                clash_overlap_tolerance: 1.5,
                violation_tolerance_factor: 12.0,
                structural_violation_loss_weight: 1.0,
                weight: 1.0,
            },
        }
    }

    /// As [`LossConfig::fine_tuning`], with the aligned-error head: `model_1_ptm` … `model_5_ptm`. Suppl. 1.9.7.
    pub fn fine_tuning_ptm() -> Self {
        let mut config = Self::fine_tuning();
        config.predicted_aligned_error.weight = 0.1;
        config
    }

    /// Losses of the first stage of training: no violations, no experimentally-resolved head. Suppl. 1.9, eq. 7.
    pub fn initial_training() -> Self {
        let mut config = Self::fine_tuning();
        config.structure_module.structural_violation_loss_weight = 0.0;
        config.experimentally_resolved.weight = 0.0;
        config
    }

    /// Refuses numbers that no loss can be computed with.
    /// # Errors  [`Error::Config`] names the key.
    pub fn validate(&self) -> Result<()> {
        let s = &self.structure_module;
        let positive = [
            ("structure_module.fape.clamp_distance", s.fape.clamp_distance),
            ("structure_module.fape.loss_unit_distance", s.fape.loss_unit_distance),
            ("structure_module.sidechain.atom_clamp_distance", s.sidechain.atom_clamp_distance),
            ("structure_module.sidechain.length_scale", s.sidechain.length_scale),
        ];
        for (key, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::Config { key, expected: "a positive number", got: value.to_string() });
            }
        }
        let bins = [
            ("distogram.num_bins", self.distogram.num_bins),
            ("predicted_aligned_error.num_bins", self.predicted_aligned_error.num_bins),
            ("predicted_lddt.num_bins", self.predicted_lddt.num_bins),
        ];
        for (key, value) in bins {
            if !(3..=65536).contains(&value) {
                return Err(Error::Config { key, expected: "3 to 65536 bins", got: value.to_string() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_differ_where_the_supplement_says() {
        let fine = LossConfig::fine_tuning();
        let first = LossConfig::initial_training();
        assert_eq!(fine.predicted_aligned_error.weight, 0.0);
        assert_eq!(LossConfig::fine_tuning_ptm().predicted_aligned_error.weight, 0.1);
        assert_eq!(first.structure_module.structural_violation_loss_weight, 0.0);
        assert_eq!(first.experimentally_resolved.weight, 0.0);
        assert_eq!(first.distogram, fine.distogram);
        assert!(fine.validate().is_ok());
    }

    #[test]
    fn filter_includes_both_ends() {
        let filter = ResolutionFilter::default();
        assert!(filter.admits(0.1) && filter.admits(3.0));
        assert!(!filter.admits(0.0) && !filter.admits(3.0001) && !filter.admits(f32::NAN));
        assert!(ResolutionFilter { filter_by_resolution: false, ..filter }.admits(0.0));
    }

    #[test]
    fn nonsense_names_its_key() {
        let mut config = LossConfig::fine_tuning();
        config.structure_module.fape.clamp_distance = 0.0;
        let message = config.validate().unwrap_err().to_string();
        assert_eq!(message, "structure_module.fape.clamp_distance = 0: expected a positive number");
    }
}
