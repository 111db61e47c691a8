//! A training run as one file says it: what is trained, on what, and how it is judged.

use crate::{Error, Result, SampleConfig};
use features::FeatureConfig;
use losses::LossConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::PathBuf;
use train::TrainConfig;

/// A recipe, as `foldry train` reads it (TOML). Paths are relative to the recipe's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// AlphaFold's configuration as JSON (sections `data` and `model`), or the name of a preset.
    pub model: String,
    /// Chains, as `foldry data ingest` packs them.
    pub dataset: PathBuf,
    /// Where checkpoints, metrics and the best parameters go.
    pub output: PathBuf,
    /// Parameters to start from (.npz, .pt, .safetensors); made up by `train.seed` if there are none.
    pub init: Option<PathBuf>,
    /// How samples are drawn.
    pub sample: SampleConfig,
    /// How the network is run.
    #[serde(default)]
    pub passes: Passes,
    /// When violations begin to count.
    #[serde(default)]
    pub violations: Violations,
    /// The trainer.
    pub train: TrainConfig,
    /// How the averaged parameters are judged.
    #[serde(default)]
    pub validation: ValidationConfig,
    /// Chains that are used at all.
    #[serde(default)]
    pub chains: ChainFilter,
}

/// How the network is run in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Passes {
    /// Whether values are left out at the rates of the configuration.
    pub dropout: bool,
    /// Keep only what goes from block to block, and run each block again on the way back: the same numbers for about a third more
    /// time and a fraction of the memory. May change when a run is resumed.
    pub checkpoint_activations: bool,
}

impl Default for Passes {
    fn default() -> Self {
        Self { dropout: true, checkpoint_activations: false }
    }
}

/// Violations come late: before the structure is about right they only disturb. AF2 Suppl. 1.9.11.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violations {
    /// First step that counts them; never if absent.
    pub from_step: Option<u64>,
    /// Their weight from then on. AF2's fine-tuning has 1.
    #[serde(default)]
    pub weight: f64,
}

/// Which chains of the validation split judge a run: always the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationConfig {
    /// Chains, half of them without homologs in the training split where there are so many.
    pub chains: usize,
    /// Longest chain, residues.
    pub longest: usize,
    /// Recycles.
    pub recycles: usize,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        Self { chains: 32, longest: 128, recycles: 1 }
    }
}

/// Which chains are used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChainFilter {
    /// Shortest chain, residues.
    pub shortest: usize,
    /// Longest chain, residues.
    pub longest: usize,
    /// Only the first so many of the split, for tests of the trainer itself.
    pub first: Option<usize>,
}

impl Default for ChainFilter {
    fn default() -> Self {
        Self { shortest: 16, longest: usize::MAX, first: None }
    }
}

impl Recipe {
    /// Reads a recipe's text.
    ///
    /// # Errors  What is wrong, with line and column; then as [`Recipe::validate`].
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let recipe: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        recipe.validate().map_err(|e| e.to_string())?;
        Ok(recipe)
    }

    /// Refuses settings that no run can have.
    ///
    /// # Errors  Names the key.
    pub fn validate(&self) -> Result<()> {
        self.sample.validate()?;
        self.train.validate().map_err(|e| Error::Setting {
            key: "train",
            expected: "settings of a run".into(),
            got: e.to_string(),
        })?;
        let (v, f) = (&self.validation, &self.chains);
        if v.chains == 0 || v.longest < 16 {
            let got = format!("{} chains of at most {}", v.chains, v.longest);
            return Err(Error::Setting {
                key: "validation",
                expected: "at least 1 chain of 16 residues".into(),
                got,
            });
        }
        if f.shortest > f.longest || f.first == Some(0) {
            let got = format!("{}..={}, first {:?}", f.shortest, f.longest, f.first);
            return Err(Error::Setting { key: "chains", expected: "a range that is not empty".into(), got });
        }
        if !(self.violations.weight >= 0.0 && self.violations.weight.is_finite()) {
            let got = self.violations.weight.to_string();
            return Err(Error::Setting { key: "violations.weight", expected: "0 or more".into(), got });
        }
        Ok(())
    }
}

/// What AlphaFold's configuration says, for everything that needs it.
#[derive(Debug, Clone)]
pub struct Network {
    /// How features are made.
    pub features: FeatureConfig,
    /// Sizes.
    pub config: fold::Config,
    /// Weights of the losses.
    pub losses: LossConfig,
}

impl Network {
    /// From AlphaFold's configuration as JSON.
    ///
    /// # Errors  Names the section or key that is missing or does not fit.
    pub fn from_json(json: &Value) -> std::result::Result<Self, String> {
        let data = json.get("data").cloned().ok_or("expected a section `data`, found none")?;
        let features: FeatureConfig = serde_json::from_value(data).map_err(|e| format!("data: {e}"))?;
        features.validate().map_err(|e| e.to_string())?;
        let heads = json.pointer("/model/heads").cloned().ok_or("expected `model.heads`, found none")?;
        let losses: LossConfig = serde_json::from_value(heads).map_err(|e| format!("model.heads: {e}"))?;
        losses.validate().map_err(|e| e.to_string())?;
        let config = fold::Config::from_alphafold_json(json).map_err(|e| e.to_string())?;
        Ok(Self { features, config, losses })
    }

    /// A published model by name, with its losses of fine-tuning.
    pub fn preset(name: &str) -> Option<Self> {
        let config = fold::Config::preset(name)?;
        let features = FeatureConfig::preset(name).ok()?;
        let losses = if config.has_pae() { LossConfig::fine_tuning_ptm() } else { LossConfig::fine_tuning() };
        Some(Self { features, config, losses })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "model = 'm.json'\ndataset = 'd'\noutput = 'o'\n[sample]\ncrop = 64\nrecycles = 1\n[train]\nsteps = 3\n";

    #[test]
    fn a_short_recipe_is_enough_and_typing_errors_are_named() {
        let recipe = Recipe::parse(TEXT).unwrap();
        assert_eq!((recipe.sample.clamped, recipe.validation.chains), (0.9, 32));
        let wrong = Recipe::parse(&TEXT.replace("crop = 64", "crop = 64\ncropp = 3")).unwrap_err();
        assert!(wrong.contains("cropp"), "{wrong}");
        let wrong = Recipe::parse(&TEXT.replace("crop = 64", "crop = 2")).unwrap_err();
        assert!(wrong.contains("sample.crop"), "{wrong}");
        let wrong = Recipe::parse(&TEXT.replace("steps = 3", "steps = 0")).unwrap_err();
        assert!(wrong.contains("steps"), "{wrong}");
    }

    #[test]
    fn networks_come_from_json_or_by_name() {
        let json: Value = serde_json::from_str(include_str!("../../../data/models/mini.json")).unwrap();
        let mini = Network::from_json(&json).unwrap();
        assert_eq!(mini.losses.distogram.weight, 0.3);
        assert!(Network::preset("model_3_ptm").is_some() && Network::preset("mini").is_none());
        assert!(Network::from_json(&json["model"]).unwrap_err().contains("`data`"));
    }
}
