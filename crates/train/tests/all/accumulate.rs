//! Four samples one after the other are one batch of four.

use super::task::{Mlp, Samples};
use super::{bits, train};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;
use train::{DataSource, Order, Permutation, RngKey, Schedule, TrainConfig};

fn config() -> TrainConfig {
    TrainConfig { steps: 1, batch: 4, seed: 8, lr: 1e-2, ..TrainConfig::default() }
}

/// The mean loss of the samples of step 0 as one batch, and its gradient by candle.
fn as_one_batch(source: &Samples) -> BTreeMap<String, Tensor> {
    let config = config();
    let order = Permutation::new(source.len, config.seed).unwrap();
    let batches: Vec<_> = (0..4u32)
        .map(|i| source.get(order.index(u64::from(i)), RngKey::new(config.seed, 0, i)).unwrap())
        .collect();
    let x = Tensor::cat(&batches.iter().map(|b| &b.0).collect::<Vec<_>>(), 0).unwrap();
    let y = Tensor::cat(&batches.iter().map(|b| &b.1).collect::<Vec<_>>(), 0).unwrap();
    let weights = Mlp::weights(config.seed).unwrap();
    let w = weights.tensors();
    let hidden = x.matmul(&w["hidden.weight"]).unwrap().broadcast_add(&w["hidden.bias"]).unwrap();
    let out = hidden.tanh().unwrap().matmul(&w["out.weight"]).unwrap();
    let out = out.broadcast_add(&w["out.bias"]).unwrap();
    let grads = (out - y).unwrap().sqr().unwrap().mean_all().unwrap().backward().unwrap();
    w.iter().map(|(name, t)| (name.clone(), grads.get(t).unwrap().clone())).collect()
}

#[test]
fn accumulating_four_is_a_batch_of_four() {
    let source = Samples::new(11);
    let folder = tempfile::tempdir().unwrap();
    let weights = Mlp::weights(config().seed).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let order = Permutation::new(source.len, config().seed).unwrap();
    let task = Mlp { dropout: 0.0, pause: std::time::Duration::ZERO };
    let summary = train::run(
        &config(),
        &weights,
        &order,
        &source,
        &task,
        &mut [],
        &train::Single,
        folder.path(),
        false,
        &stop,
    )
    .unwrap();
    assert_eq!((summary.step, summary.samples_seen), (1, 4));
    // AdamW's first mean is 0.1 of the gradient: the checkpoint has it.
    let path = train::checkpoint::latest(&folder.path().join("checkpoints")).unwrap().unwrap();
    let m = train::checkpoint::load(&path).unwrap().arrays(train::checkpoint::group::MEAN).unwrap();
    for (name, grad) in as_one_batch(&source) {
        let grad: Vec<f32> = grad.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let largest = grad.iter().fold(0f32, |a, b| a.max(b.abs()));
        assert!(largest > 1e-3, "{name}");
        for (got, expected) in m[&name].to_f32().iter().zip(&grad) {
            let error = (got * 10.0 - expected).abs();
            assert!(error < 3e-7 + 2e-6 * largest, "{name}: {got} {expected}");
        }
    }
}

#[test]
fn samples_at_once_give_the_numbers_of_one_after_the_other() {
    let source = Samples::new(11);
    let trained = |together: usize| {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { steps: 3, batch: 5, together, ..super::config() };
        let (summary, weights) = train(folder.path(), &config, &source, false);
        (summary.unwrap(), bits(&weights))
    };
    let one = trained(1);
    assert_eq!((one.0.step, one.0.samples_seen), (3, 15));
    assert_ne!(one.1, bits(&Mlp::weights(super::config().seed).unwrap()));
    // Neither divides the batch.
    assert_eq!(trained(2), one);
    assert_eq!(trained(3), one);
}

#[test]
fn a_schedule_scales_the_step() {
    // The first AdamW step is the rate times the sign, nearly: half the rate, half the step.
    let source = Samples::new(11);
    let moved = |warmup: u64| {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { warmup, schedule: Schedule::Constant {}, ..config() };
        let before = Mlp::weights(config.seed).unwrap();
        let (summary, after) = train(folder.path(), &config, &source, false);
        summary.unwrap();
        let pairs = bits(&before).into_iter().zip(bits(&after));
        pairs.map(|(a, b)| f64::from(f32::from_bits(b) - f32::from_bits(a)).abs()).sum::<f64>()
    };
    let ratio = moved(1) / moved(4);
    assert!((ratio - 4.0).abs() < 0.01, "{ratio}");
}
