//! One training sample: features of every pass and labels of the same window. AF2 Suppl. 1.2.7–1.2.9, 1.11.5.

use crate::random::Random;
use crate::{Error, Known, Result};
use features::{Duplicates, FeatureConfig, ModelInput, RawFeatures, process};
use losses::{LabelInputs, Labels};
use msa::Msa;
use serde::{Deserialize, Serialize};

/// How samples are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// Residues kept, a contiguous window.
    pub crop: usize,
    /// The number of recycles is drawn from 0 to this, once for all samples of a step.
    pub recycles: usize,
    /// Share of samples that see the sequence alone, whatever alignment there is.
    #[serde(default)]
    pub single_sequence: f64,
    /// Share of samples whose backbone FAPE is clamped. AF2 has 0.9.
    #[serde(default = "clamped")]
    pub clamped: f64,
}

fn clamped() -> f64 {
    0.9
}

impl SampleConfig {
    /// Refuses what no sample can be made with.
    ///
    /// # Errors  [`Error::Setting`] names the key.
    pub fn validate(&self) -> Result<()> {
        if self.crop < 4 {
            let got = self.crop.to_string();
            return Err(Error::Setting { key: "sample.crop", expected: "at least 4 residues".into(), got });
        }
        for (key, value) in
            [("sample.single_sequence", self.single_sequence), ("sample.clamped", self.clamped)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::Setting {
                    key,
                    expected: "a share, 0 to 1".into(),
                    got: value.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// What the network sees and should have said.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The chain.
    pub id: String,
    /// Features, a pass after another.
    pub passes: Vec<ModelInput>,
    /// Residue numbers of the window as the labels have them.
    pub labels: Labels,
    /// Rows the alignment had before sampling.
    pub depth: usize,
}

impl Sample {
    /// Draws a sample of `chain` that is recycled `recycles` times. `features` says how rows are sampled and masked; its
    /// crop is replaced by that of `config`.
    ///
    /// # Errors  [`Error::Chain`] if the parts of the chain do not fit; [`Error::Features`], [`Error::Loss`].
    pub fn draw(
        chain: &Known,
        features: &FeatureConfig,
        config: &SampleConfig,
        recycles: usize,
        seed: u64,
    ) -> Result<Self> {
        chain.check()?;
        let mut seeds = Random(seed);
        let alone = seeds.uniform() < config.single_sequence;
        let clamp = if seeds.uniform() < config.clamped { 1.0 } else { 0.0 };
        let mut features = features.clone();
        features.common.num_recycle = recycles;
        features.eval.crop_size = Some(config.crop);
        features.eval.fixed_size = false;
        Self::make(chain, &features, alone, clamp, seeds.next())
    }

    /// The whole chain as at inference: no crop, all passes, labels beside them.
    ///
    /// # Errors  as [`Sample::draw`].
    pub fn whole(chain: &Known, features: &FeatureConfig, alone: bool, seed: u64) -> Result<Self> {
        chain.check()?;
        let mut features = features.clone();
        features.eval.crop_size = None;
        features.eval.fixed_size = false;
        Self::make(chain, &features, alone, 1.0, seed)
    }

    fn make(chain: &Known, features: &FeatureConfig, alone: bool, clamp: f32, seed: u64) -> Result<Self> {
        let single;
        let msa = match &chain.msa {
            Some(msa) if !alone => msa,
            _ => {
                single = Msa::single(&chain.sequence, &chain.id);
                &single
            }
        };
        let first = chain.residue_index.first().copied().unwrap_or(0);
        let raw = RawFeatures::new(&chain.sequence, &[msa], Duplicates::Drop)?
            .with_residue_index(chain.residue_index.iter().map(|i| i - first).collect())?;
        let set = process(&raw, features, seed)?;
        let start = set.crop_start;
        let r = set.samples.first().map_or(0, ModelInput::num_res);
        let labels = labels(chain, start..start + r, clamp)?;
        if labels.pseudo_beta_mask.iter().filter(|m| **m != 0.0).count() < 2 {
            let what = format!("expected at least 2 resolved residues in {start}..{}", start + r);
            return Err(Error::Chain { id: chain.id.clone(), what });
        }
        let mut passes = set.samples;
        // Where rows are not sampled anew for every recycle, all passes see the same.
        if let Some(last) = passes.last().filter(|_| passes.len() <= features.common.num_recycle).cloned() {
            passes.resize(features.common.num_recycle + 1, last);
        }
        Ok(Self { id: chain.id.clone(), passes, labels, depth: msa.rows() })
    }
}

/// Labels of a window of the chain.
fn labels(chain: &Known, window: std::ops::Range<usize>, clamp: f32) -> Result<Labels> {
    let mask: Vec<f32> =
        chain.mask[window.clone()].iter().flatten().map(|&m| if m { 1.0 } else { 0.0 }).collect();
    let mut labels = Labels::derive(LabelInputs {
        aatype: &chain.aatype[window.clone()],
        residue_index: &chain.residue_index[window.clone()],
        seq_mask: &vec![1.0; window.len()],
        all_atom_positions: chain.positions[window].as_flattened().as_flattened(),
        all_atom_mask: &mask,
        atom14_atom_exists: None,
        atom37_atom_exists: None,
        // As for distillation: heads that ask for well resolved experiments pass these chains over.
        resolution: chain.resolution.unwrap_or(0.0),
        use_clamped_fape: clamp,
    })?;
    if chain.backbone_only {
        labels.place_beta_on_backbone();
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::testing::{features, helix};

    fn config() -> SampleConfig {
        SampleConfig { crop: 9, recycles: 3, single_sequence: 0.5, clamped: 0.9 }
    }

    #[test]
    fn the_window_of_labels_is_that_of_features() {
        let chain = helix("MKVLAWGDERTYPSFNHQIC", 7);
        let mut starts = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let recycles = seed as usize % 4;
            let sample = Sample::draw(&chain, &features(), &config(), recycles, seed).unwrap();
            let x = &sample.passes[0];
            assert_eq!((x.num_res(), sample.labels.len()), (9, 9));
            let types: Vec<u8> = x.aatype.iter().map(|&a| a as u8).collect();
            assert_eq!(types, sample.labels.aatype);
            assert_eq!(x.residue_index[0] + 7, sample.labels.residue_index[0]);
            starts.insert(x.residue_index[0]);
            assert_eq!(sample.passes.len(), recycles + 1);
        }
        assert!(starts.len() > 5, "{starts:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_sample() {
        let chain = helix("MKVLAWGDERTYPSFNHQIC", 1);
        let draw = |seed| Sample::draw(&chain, &features(), &config(), 2, seed).unwrap();
        assert_eq!((draw(5).passes, draw(5).labels), (draw(5).passes, draw(5).labels));
        assert_ne!(draw(5).passes, draw(6).passes);
    }

    #[test]
    fn passes_are_as_many_where_rows_are_sampled_once() {
        let chain = helix("MKVLAWGDERTYPSFNHQIC", 1);
        let mut features = features();
        features.common.resample_msa_in_recycling = false;
        let passes = Sample::draw(&chain, &features, &config(), 2, 5).unwrap().passes;
        assert_eq!(passes.len(), 3);
        assert!(passes.iter().all(|p| *p == passes[0]));
    }

    #[test]
    fn backbones_get_their_beta_from_the_frame() {
        let mut chain = helix("MKVLAWGDERTYPSFNHQIC", 1);
        let full = Sample::whole(&chain, &features(), false, 1).unwrap().labels;
        for mask in &mut chain.mask {
            mask[chem::atoms::CB] = false;
        }
        chain.backbone_only = true;
        let bare = Sample::whole(&chain, &features(), false, 1).unwrap().labels;
        assert_eq!(bare.pseudo_beta_mask, full.pseudo_beta_mask);
        for (a, b) in bare.pseudo_beta.iter().zip(&full.pseudo_beta) {
            let d: f32 = (0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f32>().sqrt();
            assert!(d < 0.1, "{d}");
        }
        assert!(bare.all_atom_mask.iter().all(|m| m[chem::atoms::CB] == 0.0));
    }

    #[test]
    fn chains_that_do_not_fit_are_named() {
        let mut chain = helix("MKVLAW", 1);
        chain.mask.pop();
        let text = Sample::draw(&chain, &features(), &config(), 0, 1).unwrap_err().to_string();
        assert_eq!(text, "helix: expected 6 masks, got 5");
    }
}
