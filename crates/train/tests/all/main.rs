//! Whole runs of a small regression: what they learn, skip, save, and how they go on after a kill.

mod accumulate;
mod contract;
mod nccl;
mod ranks;
mod resume;
mod runs;
#[path = "../../src/bin/mlp/task.rs"]
mod task;
mod threads;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use task::{Mlp, Samples};
use train::{Jsonl, Permutation, Result, Single, Summary, Tracker, TrainConfig, Weights};

/// A run with everything on.
fn config() -> TrainConfig {
    TrainConfig {
        steps: 10,
        batch: 4,
        seed: 3,
        lr: 0.02,
        warmup: 3,
        weight_decay: 0.01,
        clip_norm: Some(1.0),
        clip_sample_norm: Some(2.0),
        ema_decay: 0.9,
        checkpoint_every: 5,
        validate_every: 3,
        workers: 2,
        ..TrainConfig::default()
    }
}

fn mlp() -> Mlp {
    Mlp { dropout: 0.1, pause: std::time::Duration::ZERO }
}

/// Trains in `folder`; returns the parameters, too.
fn train(folder: &Path, config: &TrainConfig, source: &Samples, resume: bool) -> (Result<Summary>, Weights) {
    let weights = Mlp::weights(config.seed).unwrap();
    let order = Permutation::new(source.len, config.seed).unwrap();
    let mut trackers: Vec<Box<dyn Tracker>> = vec![Box::new(Jsonl::new(&folder.join("metrics.jsonl")))];
    let stop = AtomicBool::new(false);
    let summary =
        train::run(config, &weights, &order, source, &mlp(), &mut trackers, &Single, folder, resume, &stop);
    (summary, weights)
}

/// All values, in the order of names, as bits.
fn bits(weights: &Weights) -> Vec<u32> {
    weights
        .tensors()
        .values()
        .flat_map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        .map(f32::to_bits)
        .collect()
}

/// Lines of the record of one kind.
fn lines(folder: &Path, kind: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).collect()
}
