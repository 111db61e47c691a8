//! Runs to their end, with what can go wrong on the way.

use super::task::Samples;
use super::{bits, config, lines, train};
use train::{Error, Matrices, TrainConfig, checkpoint};

#[test]
fn it_learns_and_keeps_the_best() {
    let folder = tempfile::tempdir().unwrap();
    let config = TrainConfig { steps: 400, log_every: 100, validate_every: 100, ..config() };
    let (summary, _) = train(folder.path(), &config, &Samples::new(200), false);
    let summary = summary.unwrap();
    assert!(summary.finished && summary.samples_seen == 1600 && summary.skipped == 0, "{summary:?}");
    let (metrics, judged) = (lines(folder.path(), "train"), lines(folder.path(), "validate"));
    assert_eq!((metrics.len(), judged.len()), (4, 4));
    let loss = |i: usize| metrics[i]["loss"].as_f64().unwrap();
    assert!(loss(3) < 0.5 * loss(0), "{} {}", loss(0), loss(3));
    assert_eq!(metrics[3]["rows"], 3.0);
    let scores: Vec<f64> = judged.iter().map(|l| l["score"].as_f64().unwrap()).collect();
    let best = scores.iter().copied().fold(f64::MIN, f64::max);
    assert_eq!(summary.best.unwrap().score, best);
    // The best averages are kept alone; checkpoints are pruned.
    let kept = checkpoint::list(&folder.path().join("best")).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(checkpoint::load(&kept[0].1).unwrap().state.best, summary.best);
    let steps: Vec<u64> =
        checkpoint::list(&folder.path().join("checkpoints")).unwrap().iter().map(|c| c.0).collect();
    assert_eq!(steps, [395, 400]);
}

#[test]
fn threads_and_read_ahead_change_nothing() {
    let run = |workers, prefetch| {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { workers, prefetch, ..config() };
        let (summary, weights) = train(folder.path(), &config, &Samples::new(23), false);
        (summary.unwrap(), bits(&weights))
    };
    let alone = run(0, 1);
    assert_eq!(run(1, 3), alone);
    assert_eq!(run(4, 7), alone);
}

#[test]
fn bad_samples_are_skipped_and_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let source = Samples { broken: Some(2), not_a_number: Some(5), ..Samples::new(8) };
    let (summary, weights) = train(folder.path(), &config(), &source, false);
    let summary = summary.unwrap();
    // Ten steps of four are five epochs of eight.
    assert_eq!((summary.skipped, summary.samples_seen), (10, 30));
    assert!(bits(&weights).into_iter().all(|b| f32::from_bits(b).is_finite()));
    let notes = lines(folder.path(), "note");
    let count = |text: &str| notes.iter().filter(|n| n["text"].as_str().unwrap().contains(text)).count();
    assert_eq!(count("sample 2: cannot be read"), 5);
    assert_eq!(count("its loss is NaN"), 5);
    let path = checkpoint::latest(&folder.path().join("checkpoints")).unwrap().unwrap();
    assert_eq!(checkpoint::load(&path).unwrap().state.skipped, 10);
}

#[test]
fn a_run_of_bad_samples_only_stops() {
    for (steps, step) in [(10, 5), (2, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let source = Samples { not_a_number: Some(0), ..Samples::new(1) };
        let (summary, _) = train(folder.path(), &TrainConfig { steps, ..config() }, &source, false);
        match summary.unwrap_err() {
            Error::Skipping { step: at, skipped, seen, latest } => {
                assert_eq!((at, skipped, seen), (step, 4 * step, 4 * step));
                assert!(latest.ends_with("its loss is NaN"), "{latest}");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn bf16_matrices_train_f32_masters() {
    let losses = [Matrices::F32, Matrices::Bf16].map(|matrices| {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { matrices, steps: 60, log_every: 60, ..config() };
        let (summary, weights) = train(folder.path(), &config, &Samples::new(50), false);
        // Masters keep more bits than bf16 has.
        assert!(bits(&weights).iter().any(|b| b & 0xffff != 0));
        summary.unwrap().loss.unwrap()
    });
    assert!((losses[0] / losses[1] - 1.0).abs() < 0.02 && losses[0] != losses[1], "{losses:?}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = |config: TrainConfig, resume| {
        train(folder.path(), &config, &Samples::new(5), resume).0.unwrap_err().to_string()
    };
    assert_eq!(error(TrainConfig { steps: 0, ..config() }, false), "steps: expected at least 1, found 0");
    assert!(error(config(), true).contains("expected a checkpoint to resume, found none"));
}
