//! Stopped and resumed is the same as never stopped, to the bit; what is not the same run is refused.

use super::task::Samples;
use super::{bits, config, lines, train};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use train::{TrainConfig, checkpoint};

/// Every file of the newest checkpoint and of the best, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for kind in ["checkpoints", "best"] {
        let path = checkpoint::latest(&folder.join(kind)).unwrap().unwrap();
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            files.push((
                path.strip_prefix(folder).unwrap().display().to_string(),
                std::fs::read(path).unwrap(),
            ));
        }
    }
    files.sort();
    files
}

fn write_config(folder: &Path, config: &TrainConfig) -> std::path::PathBuf {
    let path = folder.join("config.json");
    std::fs::write(&path, serde_json::to_string(config).unwrap()).unwrap();
    path
}

#[test]
fn ten_steps_are_five_a_kill_and_five() {
    let base = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_train-mlp");
    let config_file = write_config(base.path(), &config());
    let (whole, killed) = (base.path().join("whole"), base.path().join("killed"));
    let run = |folder: &Path, more: &[&str]| {
        let mut command = Command::new(program);
        command.arg(folder).arg(&config_file).args(more).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(run(&whole, &[]).status().unwrap().success());
    // Killed (SIGKILL) somewhere in step 7: after the checkpoint at 5, before the one at 10.
    let mut child = run(&killed, &["--pause", "60"]).spawn().unwrap();
    let began = Instant::now();
    let metrics = killed.join("metrics.jsonl");
    while !std::fs::read_to_string(&metrics).is_ok_and(|text| text.contains("{\"step\":6,")) {
        assert!(began.elapsed() < Duration::from_secs(100), "no sixth step");
        assert!(child.try_wait().unwrap().is_none(), "ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    let left = checkpoint::list(&killed.join("checkpoints")).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].0, 5);
    assert!(run(&killed, &["--resume"]).status().unwrap().success());
    assert_eq!(files(&whole), files(&killed));
    // The record has every step once, as if there had been no kill.
    let steps = |folder: &Path, kind: &str| {
        lines(folder, kind).iter().map(|l| l["step"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    for kind in ["train", "validate"] {
        assert_eq!(steps(&killed, kind), steps(&whole, kind));
    }
    assert_eq!(steps(&whole, "train"), (1..=10).collect::<Vec<_>>());
}

#[test]
fn slices_by_time_add_up() {
    let source = Samples::new(23);
    let (whole, sliced) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (summary, expected) = train(whole.path(), &config(), &source, false);
    summary.unwrap();
    // No time at all is one step a slice.
    let slice = TrainConfig { max_seconds: Some(0), ..config() };
    let (mut weights, mut resume) = (None, false);
    for step in 1..=10 {
        let (summary, after) = train(sliced.path(), &slice, &source, resume);
        let summary = summary.unwrap();
        assert_eq!((summary.step, summary.finished), (step, step == 10));
        (weights, resume) = (Some(after), true);
    }
    assert_eq!(bits(&weights.unwrap()), bits(&expected));
    assert_eq!(files(whole.path()), files(sliced.path()));
    // One more call has nothing to do.
    let (summary, _) = train(sliced.path(), &slice, &source, true);
    assert!(summary.unwrap().finished);
}

#[test]
fn another_run_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (config, source) = (TrainConfig { steps: 2, ..config() }, Samples::new(9));
    train(folder.path(), &config, &source, false).0.unwrap();
    let error = |config: TrainConfig, source: Samples, resume| {
        train(folder.path(), &config, &source, resume).0.unwrap_err().to_string()
    };
    let text = error(config.clone(), Samples::new(9), false);
    assert!(text.contains("expected no checkpoints where a new run begins (or resume it)"), "{text}");
    let other = TrainConfig { lr: 0.5, steps: 3, ..config.clone() };
    let text = error(other.clone(), Samples::new(9), true);
    assert!(text.ends_with("cannot resume: setting lr: expected 0.02, found 0.5"), "{text}");
    let text = error(config.clone(), Samples::new(10), true);
    assert!(text.contains("order of samples"), "{text}");
    let accepted = TrainConfig { accept_changes: true, ..other };
    assert_eq!(train(folder.path(), &accepted, &source, true).0.unwrap().step, 3);
}

#[test]
fn a_damaged_checkpoint_stops_the_resumption_and_names_the_intact_one() {
    let folder = tempfile::tempdir().unwrap();
    train(folder.path(), &config(), &Samples::new(9), false).0.unwrap();
    let path = folder.path().join("checkpoints/step-00000010/adam_v-00001.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 16;
    std::fs::write(&path, bytes).unwrap();
    let longer = TrainConfig { steps: 12, ..config() };
    let error = train(folder.path(), &longer, &Samples::new(9), true).0.unwrap_err().to_string();
    assert!(error.contains("step-00000010/adam_v-00001.safetensors: expected SHA-256"), "{error}");
    assert!(error.contains("step-00000005 is intact; remove"), "{error}");
    std::fs::remove_dir_all(folder.path().join("checkpoints/step-00000010")).unwrap();
    let summary = train(folder.path(), &longer, &Samples::new(9), true).0.unwrap();
    assert_eq!(summary.step, 12);
}

/// A full disk, made by a limit on the size of files: the save fails, the checkpoint before it stands, and the run goes
/// on from there once there is room.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_previous_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let first = TrainConfig { steps: 5, ..config() };
    train(folder.path(), &first, &Samples::new(40), false).0.unwrap();
    let before = files(folder.path());
    let config_file = write_config(folder.path(), &config());
    // Blocks of 512 bytes: the record has room, a file of parameters has not.
    std::fs::remove_file(folder.path().join("metrics.jsonl")).unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_train-mlp")])
        .args([folder.path(), &config_file])
        .arg("--resume")
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(error.contains("could not be saved") && error.contains("is untouched"), "{error}");
    assert_eq!(files(folder.path()), before);
    let names = std::fs::read_dir(folder.path().join("checkpoints")).unwrap();
    assert_eq!(names.count(), 1);
    let (summary, _) = train(folder.path(), &config(), &Samples::new(40), true);
    assert_eq!(summary.unwrap().step, 10);
}
