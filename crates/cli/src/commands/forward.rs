//! `foldry forward`: the bare network on AlphaFold's own processed features, for comparison with AlphaFold.

use crate::device::Choice;
use crate::failure::bad_input;
use crate::forward_run::{self, Inputs, settings};
use crate::precision::Precision;
use anyhow::{Context, Result};
use features::{FeatureConfig, FeatureSet};
use fold::Config;
use losses::LossConfig;
use ndarray::{ArrayD, IxDyn};
use nn::files::{self, Arrays};
use std::path::{Path, PathBuf};

/// Run the network on AlphaFold's processed features: no sampling, outputs under AlphaFold's names.
#[derive(clap::Args)]
pub struct Args {
    /// Sizes of a published model: model_1 … model_5, model_1_ptm …, finetuning_3 …
    #[arg(long, required_unless_present = "config", conflicts_with = "config")]
    preset: Option<String>,
    /// AlphaFold's configuration as JSON (`data` and `model` sections)
    #[arg(long)]
    config: Option<PathBuf>,
    /// Parameters: AlphaFold .npz, OpenFold .pt or .safetensors
    #[arg(long)]
    params: PathBuf,
    /// Processed features, .npz, with a leading axis of recycles × ensemble members
    #[arg(long)]
    features: PathBuf,
    /// Passes after the first
    #[arg(long, default_value_t = 3)]
    recycles: usize,
    /// Where the outputs go, .safetensors
    #[arg(short, long)]
    output: PathBuf,
    /// Also write intermediate values of the last pass, under `taps/`
    #[arg(long)]
    taps: bool,
    /// Ground truth, .npz: also write every head's loss
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    device: Choice,
    /// Also write the gradient of the loss by every parameter (of the last pass, as AlphaFold trains)
    #[arg(long, requires = "labels")]
    gradients: bool,
    /// Numbers that the matrix products of the Evoformer, extra-MSA and template stacks take; all else is f32
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Precision,
}

/// Runs the command.
pub fn run(args: Args) -> Result<()> {
    let read = |path: &Path| -> Result<Arrays> { Ok(files::read(path).map_err(bad_input)?.1) };
    let json = args.config.as_deref().map(read_json).transpose()?.map(settings::without_nulls);
    let model = json.as_ref().map(|json| json.get("model").unwrap_or(json));
    let config = match (model, &args.preset) {
        (Some(model), _) => {
            for note in settings::check(model)? {
                eprintln!("NOTE  {note}");
            }
            Config::from_alphafold_json(model).map_err(bad_input)?
        }
        (None, Some(name)) => Config::preset(name).ok_or_else(|| {
            bad_input(format!(
                "unknown preset `{name}`: expected model_1 … model_5, model_1_ptm … model_5_ptm, \
                 initial_training or finetuning_…"
            ))
        })?,
        (None, None) => unreachable!("clap asks for one of them"),
    };
    let arrays = read(&args.features)?;
    let get = |name: &str| -> Option<ArrayD<f32>> {
        let a = arrays.get(name)?;
        ArrayD::from_shape_vec(IxDyn(a.shape()), a.to_f32()).ok()
    };
    let mut features = FeatureSet::from_arrays(&get).map_err(bad_input)?;
    let numbers = features.samples.first().map_or_else(Vec::new, |s| s.residue_index.to_vec());
    if let Some(chains) = get("asym_id") {
        forward_run::part_chains(&mut features, &chains)?;
    }
    let ensemble = match (&json, &args.preset) {
        (Some(json), _) => ensemble(json, &config, features.samples.len()),
        (None, name) => {
            FeatureConfig::preset(name.as_deref().unwrap_or_default()).map_or(1, |c| c.eval.num_ensemble)
        }
    };
    let features = features.with_num_ensemble(ensemble).map_err(bad_input)?;
    let losses = match &args.labels {
        None => None,
        Some(path) => {
            let config = match model.map(|model| model["heads"].clone()) {
                Some(heads) => serde_json::from_value(heads)
                    .context("configuration: heads")
                    .map_err(|e| bad_input(format!("{e:#}")))?,
                None if config.has_pae() => LossConfig::fine_tuning_ptm(),
                None => LossConfig::fine_tuning(),
            };
            Some((read(path)?, config))
        }
    };
    let outputs = forward_run::run(Inputs {
        config,
        params: read(&args.params)?,
        device: args.device.open(args.dtype.on_gpu())?.device,
        features,
        numbers,
        recycles: args.recycles,
        taps: args.taps,
        losses,
        gradients: args.gradients,
        precision: args.dtype,
    })?;
    files::safetensors::write(&args.output, &outputs, &Default::default())
        .with_context(|| format!("writing {}", args.output.display()))
}

/// Samples that each pass averages: all of them if they are not resampled, as `data.eval.num_ensemble` says, or
/// an even share of every pass.
fn ensemble(json: &serde_json::Value, config: &Config, samples: usize) -> usize {
    if !config.resample_msa_in_recycling {
        return samples.max(1);
    }
    let share = || samples.checked_div(config.num_recycle.saturating_add(1)).filter(|n| *n > 0);
    let given = json["data"]["eval"]["num_ensemble"].as_u64().map(|n| n as usize);
    given.or_else(share).unwrap_or(1).max(1)
}

fn read_json(path: &Path) -> Result<serde_json::Value> {
    let text = std::fs::read_to_string(path).map_err(|e| bad_input(format!("{}: {e}", path.display())))?;
    serde_json::from_str(&text)
        .map_err(|e| bad_input(format!("{}:{}:{}: {e}", path.display(), e.line(), e.column())))
}
