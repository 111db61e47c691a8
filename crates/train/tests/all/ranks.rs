//! A run on several ranks is the run on one, but for the rounding of sums; and goes on on any number of them.

use super::task::{Mlp, Samples};
use super::threads::on_ranks;
use super::{bits, config, contract, lines, mlp};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use train::{Jsonl, Permutation, Result, Summary, Tracker, TrainConfig, checkpoint};

/// What a rank ends with: its summary, and all parameters.
type End = (Result<Summary>, Vec<f32>);

/// Trains in `folder` on `world` ranks, of which `stopped` is told to stop.
fn train(
    folder: &Path,
    config: &TrainConfig,
    source: &Samples,
    world: usize,
    resume: bool,
    stopped: Option<usize>,
) -> Vec<End> {
    on_ranks(world, |ranks| {
        let weights = Mlp::weights(config.seed + ranks.rank() as u64).unwrap();
        let order = Permutation::new(source.len, config.seed).unwrap();
        let stop = AtomicBool::new(stopped == Some(ranks.rank()));
        // A rank other than 0 would fail here.
        let path = if ranks.rank() == 0 { folder.join("metrics.jsonl") } else { "/".into() };
        let mut trackers: Vec<Box<dyn Tracker>> = vec![Box::new(Jsonl::new(&path))];
        let summary =
            train::run(config, &weights, &order, source, &mlp(), &mut trackers, ranks, folder, resume, &stop);
        (summary, bits(&weights).into_iter().map(f32::from_bits).collect())
    })
}

/// Greatest difference beside the greatest value.
pub(super) fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let most = a.iter().fold(0f32, |most, v| most.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max) / most
}

/// Moments and averages too, of the newest checkpoint.
pub(super) fn state(folder: &Path) -> Vec<f32> {
    let path = checkpoint::latest(&folder.join("checkpoints")).unwrap().unwrap();
    let mut read = checkpoint::load(&path).unwrap();
    use checkpoint::group::{EMA, MEAN, PARAMS, SQUARE};
    [PARAMS, MEAN, SQUARE, EMA].into_iter().flat_map(|group| read.take(group).unwrap()).collect()
}

#[test]
fn any_number_of_ranks_is_one_rank() {
    // A batch of 12, of which two samples are bad now and then.
    let source = Samples { broken: Some(2), not_a_number: Some(5), ..Samples::new(29) };
    let config = TrainConfig { batch: 12, log_every: 4, ..config() };
    let one = tempfile::tempdir().unwrap();
    let alone = train(one.path(), &config, &source, 1, false, None).remove(0);
    let expected = alone.0.unwrap();
    assert!(expected.skipped > 0 && expected.best.is_some());
    for world in [2, 3, 6] {
        let folder = tempfile::tempdir().unwrap();
        let ends = train(folder.path(), &config, &source, world, false, None);
        for (summary, values) in &ends {
            let summary = summary.as_ref().unwrap();
            let counts = |s: &Summary| (s.step, s.samples_seen, s.skipped, s.finished);
            assert_eq!(counts(summary), counts(&expected));
            // The same to the bit everywhere; and one rank's but for rounding.
            assert_eq!(values, &ends[0].1);
            let off = difference(&alone.1, values);
            assert!(off < 2e-6, "{world} ranks: {off:e}");
        }
        let off = difference(&state(one.path()), &state(folder.path()));
        assert!(off < 2e-6, "{world} ranks: {off:e}");
        // Metrics are those of all ranks' samples, and every skipped one is noted.
        let notes = |folder: &Path| {
            let mut texts: Vec<String> =
                lines(folder, "note").iter().map(|l| l["text"].as_str().unwrap().to_owned()).collect();
            texts.retain(|text| text.starts_with("skipped"));
            texts
        };
        assert_eq!(notes(folder.path()), notes(one.path()));
        let metrics = lines(folder.path(), "train");
        assert_eq!(metrics.len(), 3);
        for (ours, theirs) in metrics.iter().zip(lines(one.path(), "train")) {
            assert_eq!(ours["step"], theirs["step"]);
            for name in ["loss", "rows", "grad_norm"] {
                let (a, b) = (ours[name].as_f64().unwrap(), theirs[name].as_f64().unwrap());
                assert!((a / b - 1.0).abs() < 1e-5, "{name}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_run_goes_on_on_another_number_of_ranks() {
    let source = Samples::new(40);
    let half = TrainConfig { steps: 5, ..config() };
    let run = |worlds: [usize; 2]| {
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), &half, &source, worlds[0], false, None).remove(0).0.unwrap();
        let end = train(folder.path(), &config(), &source, worlds[1], true, None).remove(0);
        assert_eq!(end.0.unwrap().samples_seen, 40);
        (end.1, state(folder.path()))
    };
    let alone = run([1, 1]);
    for worlds in [[2, 1], [1, 2], [4, 2]] {
        let (values, state) = run(worlds);
        assert!(difference(&alone.0, &values) < 2e-6 && difference(&alone.1, &state) < 2e-6, "{worlds:?}");
    }
    // With the same number it goes on to the bit.
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &config(), &source, 2, false, None).remove(0).0.unwrap();
    assert_eq!(state(folder.path()), run([2, 2]).1);
}

#[test]
fn all_stop_when_one_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    for (summary, _) in train(folder.path(), &config(), &Samples::new(9), 4, false, Some(3)) {
        let summary = summary.unwrap();
        assert_eq!((summary.step, summary.finished), (1, false));
    }
    assert_eq!(checkpoint::list(&folder.path().join("checkpoints")).unwrap()[0].0, 1);
}

#[test]
fn what_is_wrong_is_told_by_one_rank() {
    let told = |folder: &Path, config: &TrainConfig, source: &Samples, resume| {
        let ends = train(folder, config, source, 3, resume, None);
        let errors: Vec<String> = ends.into_iter().map(|end| end.0.unwrap_err().to_string()).collect();
        assert_eq!(errors[1..], ["rank 0 failed", "rank 0 failed"]);
        errors[0].clone()
    };
    let folder = tempfile::tempdir().unwrap();
    let source = Samples::new(9);
    let text = told(folder.path(), &config(), &source, false);
    assert_eq!(text, "batch: expected a multiple of 3, the number of ranks, found 4");
    let config = TrainConfig { batch: 3, ..config() };
    let text = told(folder.path(), &config, &source, true);
    assert!(text.contains("expected a checkpoint to resume, found none"), "{text}");
    let bad = Samples { not_a_number: Some(0), ..Samples::new(1) };
    let text = told(folder.path(), &config, &bad, false);
    assert!(text.contains("samples were skipped; the latest: "), "{text}");
    // No folder can be made where a file is: the save fails on rank 0.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("best"), "").unwrap();
    let text = told(folder.path(), &config, &source, false);
    assert!(text.contains("best"), "{text}");
}

#[test]
fn ranks_of_tests_keep_the_contract() {
    on_ranks(3, |ranks| contract::keeps(ranks, 11));
}
