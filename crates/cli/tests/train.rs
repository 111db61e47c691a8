//! `foldry train`, `eval` and `fold` as a user runs them one after the other, on the example chains.

mod tiny;

use std::process::Command;
use tiny::{foldry, prepare, recipe, root, stderr, weights};

#[test]
fn a_model_is_trained_in_slices_judged_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);

    let whole = foldry(&["train", "run.toml"], folder);
    assert_eq!(whole.status.code(), Some(0), "{}", stderr(&whole));
    assert!(stderr(&whole).contains("step=4 samples=12 skipped=0"), "{}", stderr(&whole));
    let again = foldry(&["train", "run.toml"], folder);
    assert_eq!(again.status.code(), Some(2), "a new run where one is: {}", stderr(&again));

    // The same in two slices ends with the same averages of the same step.
    recipe(folder, 2, "slices", "");
    assert!(foldry(&["train", "slices.toml"], folder).status.success());
    recipe(folder, 4, "slices", "");
    let rest = foldry(&["train", "slices.toml", "--resume"], folder);
    assert_eq!(rest.status.code(), Some(0), "{}", stderr(&rest));
    assert_eq!(weights(folder, "slices"), weights(folder, "run"));

    // Another crop would be another run: the setting is named.
    let text = std::fs::read_to_string(folder.join("slices.toml")).unwrap();
    std::fs::write(folder.join("slices.toml"), text.replace("crop = 24", "crop = 25")).unwrap();
    let other = foldry(&["train", "slices.toml", "--resume"], folder);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        stderr(&other).contains("setting about.sample: expected {\"clamped\":0.9,\"crop\":24"),
        "{}",
        stderr(&other)
    );

    // Judged on the chain held out, and written down.
    let params = "run/model.bf16.safetensors";
    let args = ["eval", "--data", "set.foldset", "--split", "test", "--params", params, "--record"];
    let judged = foldry(&args, folder);
    assert_eq!(judged.status.code(), Some(0), "{}", stderr(&judged));
    assert!(String::from_utf8_lossy(&judged.stdout).contains("| all | 1 |"));

    // One chain after the other or two at once: the same to the last digit, in the same order.
    let scores = |together: &str| {
        let args = ["eval", "--data", "set.foldset", "--split", "train", "--params", params, "--json"];
        let judged = foldry(&[&args[..], &["-o", "scores", "--together", together]].concat(), folder);
        assert_eq!(judged.status.code(), Some(0), "{}", stderr(&judged));
        assert_eq!(judged.stdout, std::fs::read(folder.join("scores")).unwrap());
        String::from_utf8(judged.stdout).unwrap()
    };
    let one = scores("1");
    assert_eq!((one.lines().count(), one), (2, scores("2")));

    // The file alone is enough to fold with: it says what network it is of.
    let input = root("data/examples/2ayd_A.a3m");
    let folded = foldry(&["fold", input.to_str().unwrap(), "-o", "out", "--params", params], folder);
    assert_eq!(folded.status.code(), Some(0), "{}", stderr(&folded));
    assert!(folder.join("out/2ayd_A/rank_001.pdb").exists());

    // And to go on from.
    recipe(folder, 1, "tuned", &format!("init = '{params}'"));
    let tuned = foldry(&["train", "tuned.toml"], folder);
    assert_eq!(tuned.status.code(), Some(0), "{}", stderr(&tuned));
    let (_, header) = nn::files::safetensors::read(&folder.join(params)).unwrap();
    assert!(header["foldry.accuracy"].contains("1 chains of the test split"), "{header:?}");
}

#[test]
fn a_gpu_that_cannot_be_used_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let refused = foldry(&["train", "run.toml", "--device", "cuda:4096"], folder);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).starts_with("ERROR  --device cuda:4096: "), "{}", stderr(&refused));
    assert!(!folder.join("run").exists());
}

/// Parameters in AlphaFold's own format, of a small network of AlphaFold's own configuration.
#[test]
fn parameters_of_alphafold_are_tuned_with_the_same_command() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let original = root("tests/golden/fold_b/params.npz");
    std::fs::copy(root("tests/golden/fold_b/config.json"), folder.join("tiny.json")).unwrap();
    recipe(folder, 2, "tuned", &format!("init = '{}'", original.display()));
    let tuned = foldry(&["train", "tuned.toml"], folder);
    assert_eq!(tuned.status.code(), Some(0), "{}", stderr(&tuned));
    assert!(stderr(&tuned).contains("samples=6 skipped=0"), "{}", stderr(&tuned));

    // They moved, each by at most the sum of the rates.
    let (_, before) = nn::files::read(&original).unwrap();
    let (_, before) = fold::names::canonical(&before).unwrap();
    let after = weights(folder, "tuned");
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let mut moved = 0;
    for (name, old) in &before {
        let furthest =
            old.to_f32().iter().zip(after[name].to_f32()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 2.1e-3, "{name}: {furthest}");
        moved += usize::from(furthest > 1e-5);
    }
    assert!(moved * 10 > before.len() * 9, "{moved} of {} moved", before.len());
}

/// A limit on the size of files stands for a full disk: writes fail half-way with an error of the system.
#[test]
fn a_full_disk_leaves_the_last_checkpoint_to_resume_from() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let whole = foldry(&["train", "run.toml"], folder);
    assert!(whole.status.success(), "{}", stderr(&whole));

    recipe(folder, 2, "full", "");
    assert!(foldry(&["train", "full.toml"], folder).status.success());
    recipe(folder, 4, "full", "");
    let limited = "trap '' XFSZ; ulimit -f 256; exec \"$0\" train full.toml --resume";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_foldry")]).current_dir(folder);
    let full = command.output().unwrap();
    assert_eq!(full.status.code(), Some(1), "{}", stderr(&full));
    let told = stderr(&full);
    assert!(told.contains("step-00000004") && told.contains("File too large"), "{told}");

    let rest = foldry(&["train", "full.toml", "--resume"], folder);
    assert_eq!(rest.status.code(), Some(0), "{}", stderr(&rest));
    assert_eq!(weights(folder, "full"), weights(folder, "run"));
}

#[test]
fn bad_recipes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let told = |word: &str, args: &[&str]| {
        let done = foldry(args, folder);
        assert!(stderr(&done).contains(word), "{word}: {}", stderr(&done));
        assert_eq!(done.status.code(), Some(2), "{word}");
    };
    told("none.toml", &["train", "none.toml"]);
    told("a checkpoint to resume", &["train", "run.toml", "--resume"]);
    recipe(folder, 1, "a", "dataset_ = 'x'");
    told("dataset_", &["train", "a.toml"]);
    recipe(folder, 1, "b", "init = 'tiny.json'");
    told("tiny.json", &["train", "b.toml"]);
    std::fs::write(folder.join("tiny.json"), "{}").unwrap();
    told("tiny.json", &["train", "run.toml"]);
    told("expected chains of the split `val`", &["eval", "--data", "set.foldset", "--longest", "20"]);
}
