//! What `foldry train` wires together: a recipe's files become a network, its first parameters and the trackers; the
//! best parameters become a file that `foldry fold` takes.

mod described;

pub use described::{Described, described};

use crate::device::Choice;
use crate::failure::bad_input;
use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use dataset::{Dataset, Split};
use folding::recipe::{Network, Recipe};
use nn::files::{Dtype, safetensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use train::{Jsonl, Progress, TensorBoard, Tracker, TrainConfig, Weighted, checkpoint};

/// A network as a recipe names it, with the text its weights will carry.
pub struct Named {
    /// AlphaFold's configuration; the name of a preset as a string.
    pub json: Value,
    network: Network,
}

impl Named {
    /// Features, sizes and losses.
    pub fn network(&self) -> Network {
        self.network.clone()
    }
}

/// The network of a preset's name or of a configuration file.
///
/// # Errors  bad input, naming the file.
pub fn network(name: &str, file: &Path) -> Result<Named> {
    if let Some(network) = Network::preset(name) {
        return Ok(Named { json: name.into(), network });
    }
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .with_context(|| shown.to_string())
        .map_err(|e| bad_input(format!("{e:#}")))?;
    let json: Value = serde_json::from_str(&text).map_err(|e| bad_input(format!("{shown}: {e}")))?;
    let network = Network::from_json(&json).map_err(|e| bad_input(format!("{shown}: {e}")))?;
    Ok(Named { json, network })
}

/// Chains drawn by AF2's weights: those of small clusters and long ones more often.
///
/// # Errors  if no chain has a weight.
pub fn order(dataset: &Dataset, chains: &[usize], seed: u64) -> Result<Weighted> {
    let all = dataset::weights(dataset, Split::Train);
    let of: BTreeMap<usize, f64> = dataset.split(Split::Train).into_iter().zip(all).collect();
    let weights: Vec<f64> = chains.iter().map(|i| of.get(i).copied().unwrap_or(0.0)).collect();
    Weighted::new(&weights, seed).map_err(bad_input)
}

/// The GPU that a rank's `cuda` means: its own of the machine's, as `torchrun` says in `LOCAL_RANK`, else the first.
pub fn own_gpu(device: Choice, local_rank: Option<&str>) -> Choice {
    let of_rank = || local_rank?.parse().ok();
    match device {
        Choice::Cuda(0) => Choice::Cuda(of_rank().unwrap_or(0)),
        other => other,
    }
}

/// Parameters to start from, on `device`, and where they come from.
///
/// # Errors  bad input, naming the file.
pub fn initial(
    config: &fold::Config,
    recipe: &Recipe,
    device: &Device,
) -> Result<(BTreeMap<String, Tensor>, Value)> {
    let Some(path) = &recipe.init else {
        let mut tensors = folding::initial_parameters(config, recipe.train.seed)?;
        for tensor in tensors.values_mut() {
            *tensor = tensor.to_device(device)?;
        }
        return Ok((tensors, Value::Null));
    };
    let (_, arrays) = nn::files::read(path).map_err(bad_input)?;
    let (_, ours) =
        fold::names::canonical(&arrays).map_err(|e| bad_input(format!("{}: {e}", path.display())))?;
    let mut tensors = BTreeMap::new();
    for (name, array) in ours {
        tensors.insert(name, Tensor::from_vec(array.to_f32(), array.shape(), device)?);
    }
    // Strictly: every tensor used, every shape right.
    folding::judge::network(config, &tensors).map_err(|e| bad_input(format!("{}: {e}", path.display())))?;
    let (hash, _) = crate::commands::weights::sha256(path)?;
    Ok((tensors, hash.into()))
}

/// Where metrics go.
///
/// # Errors  if a file cannot be opened.
pub fn trackers(recipe: &Recipe) -> Result<Vec<Box<dyn Tracker>>> {
    std::fs::create_dir_all(&recipe.output).with_context(|| recipe.output.display().to_string())?;
    Ok(vec![
        Box::new(Jsonl::new(&recipe.output.join("metrics.jsonl"))),
        Box::new(TensorBoard::new(&recipe.output.join("tensorboard"))),
        Box::new(Progress::new()),
    ])
}

/// Errors of a run in the words of the command line: what the user can mend is bad input.
pub fn explain(error: train::Error) -> anyhow::Error {
    match error {
        e @ (train::Error::Config { .. } | train::Error::Damaged { .. } | train::Error::Other { .. }) => {
            bad_input(e)
        }
        e => e.into(),
    }
}

/// Writes the averaged parameters of the best validation, or of the last checkpoint if there was none, to
/// `output/model.safetensors` (f32) and `output/model.bf16.safetensors`, with all that is needed to use them again.
///
/// # Errors  if there is no checkpoint yet, it is damaged, or a file cannot be written.
pub fn export(output: &Path, config: &TrainConfig, recipe: &str) -> Result<()> {
    let best = checkpoint::latest(&output.join("best"))?;
    let last = checkpoint::latest(&output.join("checkpoints"))?;
    let Some(path) = best.or(last) else { return Ok(()) };
    let mut found = checkpoint::load(&path)?;
    let score = found.state.best.as_ref().map_or_else(String::new, |b| format!("{:.4}", b.score));
    let arrays = found.arrays(checkpoint::group::EMA)?;
    let text = |v: &Value| serde_json::to_string(v).unwrap_or_default();
    let metadata: safetensors::Metadata = [
        ("format", "foldry".to_owned()),
        ("licence", "as the user says".to_owned()),
        (described::CONFIG, text(&config.about["model"])),
        ("foldry.recipe", recipe.to_owned()),
        ("foldry.command", std::env::args().collect::<Vec<_>>().join(" ")),
        ("foldry.step", found.state.step.to_string()),
        ("foldry.samples", found.state.samples_seen.to_string()),
        ("foldry.validation", score),
        ("foldry.dataset", config.about["dataset"].as_str().unwrap_or_default().to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    safetensors::write(&output.join("model.safetensors"), &arrays, &metadata)?;
    let half = arrays.iter().map(|(name, a)| (name.clone(), a.to_float(Dtype::BF16))).collect();
    safetensors::write(&output.join("model.bf16.safetensors"), &half, &metadata)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_takes_its_own_gpu_unless_another_is_named() {
        for (device, rank, own) in [
            (Choice::Cuda(0), Some("2"), Choice::Cuda(2)),
            (Choice::Cuda(0), None, Choice::Cuda(0)),
            (Choice::Cuda(3), Some("2"), Choice::Cuda(3)),
            (Choice::Cpu, Some("2"), Choice::Cpu),
        ] {
            assert_eq!(own_gpu(device, rank), own);
        }
    }
}
