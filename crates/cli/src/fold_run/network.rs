//! Parameters and configuration become a network; its prediction becomes what the files need.

use super::choose::{Chosen, Source, preset_of};
use super::receipt::sha256;
use crate::commands::weights::sha256 as sha256_of_file;
use crate::device;
use crate::embedded;
use crate::failure::bad_input;
use crate::plan::{Dims, GpuPlan};
use crate::precision::Precision;
use crate::train_run::{Described, described};
use anyhow::Context;
use candle_core::{DType, Tensor};
use features::{FeatureConfig, FeatureSet};
use fold::names::Summary;
use fold::{Config, Model, PredictOptions, Prediction, Step};
use nn::files::{Arrays, Format, safetensors};
use std::ops::ControlFlow;
use std::path::Path;

/// A network with its parameters, loaded when the first target needs it.
pub struct Network {
    /// Name in results: the model, or `custom`.
    pub model: String,
    /// SHA-256 of the parameter file.
    pub weights_sha256: String,
    /// How features are made for it.
    pub features: FeatureConfig,
    config: Config,
    dims: Dims,
    /// Until the network is loaded.
    unread: Arrays,
    precision: Precision,
    device: device::Chosen,
    loaded: Option<Model>,
}

impl Network {
    /// Reads names, shapes and configuration; the parameters themselves are converted when first used.
    /// `config` is AlphaFold's configuration as JSON, which then takes the place of the preset.
    ///
    /// # Errors  bad input, naming the file.
    pub fn open(
        chosen: &Chosen,
        config: Option<&Path>,
        precision: Precision,
        device: device::Chosen,
    ) -> anyhow::Result<Self> {
        let Read { path, arrays, metadata, sha256: weights_sha256 } = Read::of(&chosen.source)?;
        let (_, ours) = fold::names::canonical(&arrays).map_err(|e| bad_input(format!("{path}: {e}")))?;
        let own = described(&metadata).transpose().map_err(|e| bad_input(format!("{path}: {e}")))?;
        let custom = || if chosen.model.is_empty() { "custom".into() } else { chosen.model.clone() };
        let (model, features, config) = match (config, own) {
            (Some(file), _) => {
                let (features, config) = read_config(file)?;
                (custom(), features, config)
            }
            (None, Some(Described { network, preset })) => {
                (preset.unwrap_or_else(custom), network.features, network.config)
            }
            (None, None) => {
                let model = match chosen.model.as_str() {
                    "" => detect(&ours).map_err(|e| bad_input(format!("{path}: {e}")))?,
                    name => name.to_string(),
                };
                let preset = preset_of(&model).ok_or_else(|| {
                    bad_input(format!("unknown model `{model}`, expected {}", known_models()))
                })?;
                let config = Config::preset(preset)
                    .ok_or_else(|| bad_input(format!("model `{model}` is not in this version")))?;
                (model, FeatureConfig::preset(preset).map_err(bad_input)?, config)
            }
        };
        let bf16 = precision == Precision::Bf16;
        let dims = Dims { bf16, ..Dims::of_parameters(&ours, 0, 0, 0, 0) };
        let loaded = None;
        Ok(Self { model, weights_sha256, features, config, dims, unread: ours, precision, device, loaded })
    }

    /// Where it computes: `cpu`, or the GPU's name.
    pub fn device_name(&self) -> &str {
        &self.device.name
    }

    /// Whether that is a GPU.
    pub fn is_on_gpu(&self) -> bool {
        !self.device.device.is_cpu()
    }

    /// Whether templates are read.
    pub fn has_templates(&self) -> bool {
        self.config.has_templates() && self.features.common.use_templates
    }

    /// Whether it predicts aligned errors.
    pub fn has_pae(&self) -> bool {
        self.config.heads.predicted_aligned_error.is_some()
    }

    /// Whether parameters turned out not to fit: no target can be folded with it.
    pub fn is_unusable(&self) -> bool {
        self.loaded.is_none() && self.unread.is_empty()
    }

    /// Sizes for the plan.
    pub fn dims(&self, r: usize, s: usize, extra: usize, templates: usize) -> Dims {
        Dims { r, s, extra, templates, ..self.dims }
    }

    /// The plan for a GPU, in numbers and in words, told to the GPU's operations, too; none on the CPU.
    ///
    /// # Errors  why it does not fit.
    pub fn plan_on_gpu(&self, dims: &Dims, passes: usize) -> Option<Result<(GpuPlan, String), String>> {
        let device = &self.device.device;
        let available = nn::cuda::available_memory(device)?;
        let plan = GpuPlan::new(dims, passes, self.precision.on_gpu(), available);
        Some(plan.map(|plan| {
            nn::cuda::set_room(device, plan.room.map_or(usize::MAX, |room| room as usize));
            let words = plan.describe(dims, passes, self.device_name(), available);
            (plan, words)
        }))
    }

    /// The network itself, loaded now if it was not.
    ///
    /// # Errors  parameters that do not fit the configuration (bad input).
    pub fn model(&mut self) -> anyhow::Result<&Model> {
        let model = match self.loaded.take() {
            Some(model) => model,
            None => self.load()?,
        };
        Ok(self.loaded.insert(model))
    }

    /// Runs the network; `watch` is called after each block and may stop it, which gives `None`.
    ///
    /// # Errors  parameters that do not fit the configuration (bad input), or the network's.
    pub fn predict(
        &mut self,
        features: &FeatureSet,
        options: &PredictOptions,
        watch: &mut dyn FnMut(&Step) -> ControlFlow<()>,
    ) -> anyhow::Result<Option<Prediction>> {
        match self.model()?.predict(features, options, watch) {
            Ok(prediction) => Ok(Some(prediction)),
            Err(fold::Error::Stopped) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Converts the parameters one by one, each read array freed at once.
    fn load(&mut self) -> anyhow::Result<Model> {
        let mut params = std::collections::BTreeMap::new();
        for (name, array) in std::mem::take(&mut self.unread) {
            params.insert(name, Tensor::from_vec(array.to_f32(), array.shape(), &self.device.device)?);
        }
        // A GPU's operations round the weights themselves.
        let stacks = if self.is_on_gpu() { DType::F32 } else { self.precision.dtype() };
        Model::load(&self.config, params, stacks).map_err(bad_input)
    }
}

/// A parameter file as it was found.
struct Read {
    /// Its name for people.
    path: String,
    arrays: Arrays,
    metadata: safetensors::Metadata,
    sha256: String,
}

impl Read {
    fn of(source: &Source) -> anyhow::Result<Self> {
        match source {
            Source::File(file) => {
                let (format, arrays) = nn::files::read(file).map_err(bad_input)?;
                let metadata = match format {
                    Format::Safetensors => safetensors::read(file).map_err(bad_input)?.1,
                    _ => safetensors::Metadata::new(),
                };
                let (sha256, _) = sha256_of_file(file)?;
                Ok(Self { path: file.display().to_string(), arrays, metadata, sha256 })
            }
            Source::Embedded => {
                let (arrays, metadata) = embedded::read()?;
                let path = format!("{} (built in)", embedded::NAME);
                Ok(Self { path, arrays, metadata, sha256: sha256([embedded::WEIGHTS]) })
            }
        }
    }
}

/// AlphaFold's configuration: how features are made, and the network.
fn read_config(file: &Path) -> anyhow::Result<(FeatureConfig, Config)> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .with_context(|| name.to_string())
        .map_err(|e| bad_input(format!("{e:#}")))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| bad_input(format!("{name}: {e}")))?;
    let data = json
        .get("data")
        .cloned()
        .ok_or_else(|| bad_input(format!("{name}: expected a section `data`, found none")))?;
    let features = serde_json::from_value(data).map_err(|e| bad_input(format!("{name}: data: {e}")))?;
    let config = Config::from_alphafold_json(&json).map_err(|e| bad_input(format!("{name}: {e}")))?;
    Ok((features, config))
}

/// The first preset of the parameters' outline.
fn detect(ours: &Arrays) -> Result<String, String> {
    let outline = Summary::of(ours);
    let preset = outline
        .preset()
        .ok_or("parameters of no published size; describe the network with --config FILE.json")?;
    match preset.split(',').next().unwrap_or(preset) {
        multimer if multimer.starts_with("multimer") => {
            Err("multimer parameters are not supported yet".into())
        }
        first => Ok(first.to_string()),
    }
}

fn known_models() -> String {
    format!("{}, finetuning_…", FeatureConfig::preset_names().join(", "))
}
