//! Training on several MPI ranks: the numbers of one rank but for rounding, and no rank left behind. Needs `mpirun` of Open MPI
//! (`tests/mpi/run.sh`).
#![cfg(feature = "mpi")]

#[path = "../../train/tests/all/contract.rs"]
mod contract;
mod tiny;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tiny::{foldry, prepare, recipe, root, stderr, weights};
use train::checkpoint::{self, group};

/// `mpirun` on this machine, whatever it is.
fn mpirun(folder: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--allow-run-as-root", "--bind-to", "none"]).current_dir(folder);
    // Shared memory between processes needs a right that containers may lack.
    command.env("OMPI_MCA_btl_vader_single_copy_mechanism", "none").env("RAYON_NUM_THREADS", "1");
    command
}

/// `foldry train` on `n` ranks.
fn on_ranks(n: usize, args: &[&str], folder: &Path) -> Output {
    let mut command = mpirun(folder);
    command.args(["-n", &n.to_string(), env!("CARGO_BIN_EXE_foldry"), "train"]).args(args);
    command.output().expect("mpirun")
}

/// A recipe of batches that two ranks can share. AdamW divides by the root of v + ε: with its usual ε a gradient that is nothing
/// but rounding moves its parameter as far as any other, and two runs could not be compared.
fn shared(folder: &Path, steps: u32, output: &str, more: &str) -> String {
    recipe(folder, steps, output, "");
    let path = folder.join(format!("{output}.toml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let text =
        text.replace("batch = 3\ntogether = 2", &format!("batch = 4\nlog_every = 2\neps = 1e-3\n{more}"));
    std::fs::write(path, text).unwrap();
    format!("{output}.toml")
}

/// The vectors of the newest checkpoint: parameters, moments, averages.
fn state(folder: &Path, output: &str) -> [Vec<f32>; 4] {
    let path = checkpoint::latest(&folder.join(output).join("checkpoints")).unwrap().unwrap();
    let mut read = checkpoint::load(&path).unwrap();
    [group::PARAMS, group::MEAN, group::SQUARE, group::EMA].map(|group| read.take(group).unwrap())
}

/// Greatest difference, beside the greatest value of `a`.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|v| v.is_finite()));
    let most = a.iter().fold(0f32, |most, v| most.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max) / most
}

fn metrics(folder: &Path, output: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join(output).join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["kind"] == "train").collect()
}

fn ended_well(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

#[test]
fn two_ranks_are_one_but_for_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    for output in ["one", "two"] {
        shared(folder, 6, output, "");
    }
    ended_well(&foldry(&["train", "one.toml"], folder));
    let two = on_ranks(2, &["two.toml"], folder);
    ended_well(&two);
    // Rank 0 alone speaks.
    let text = stderr(&two);
    assert!(text.contains("ranks=2") && text.contains("step=6 samples=24 skipped=0"), "{text}");
    assert_eq!(text.matches("train.start").count() + text.matches("train.done").count(), 2, "{text}");

    // How far training went, to see a difference beside it.
    let start = {
        shared(folder, 1, "start", "");
        let path = folder.join("start.toml");
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("lr = 1e-3", "lr = 0.0"))
            .unwrap();
        ended_well(&foldry(&["train", "start.toml"], folder));
        state(folder, "start")
    };
    let (one, two) = (state(folder, "one"), state(folder, "two"));
    println!("parameters moved by up to {:.1e} of the greatest", difference(&start[0], &one[0]));
    assert!(difference(&start[0], &one[0]) > 1e-4);
    for (what, one, two) in [("parameters", 0), ("means", 1), ("squares", 2), ("averages", 3)]
        .map(|(what, i)| (what, &one[i], &two[i]))
    {
        let off = difference(one, two);
        println!("2 ranks and 1, {what}: {off:.1e} of the greatest (bound {BOUND:.0e})");
        assert!(off <= BOUND, "{what}: {off:e}");
    }
    for (a, b) in metrics(folder, "one").iter().zip(metrics(folder, "two")) {
        assert_eq!((&a["step"], &a["skipped"]), (&b["step"], &b["skipped"]));
        // Scalars of the samples of both ranks: those of one would be far off.
        for name in ["loss", "grad_norm", "fape", "distogram"] {
            let (a, b) = (a[name].as_f64().expect(name), b[name].as_f64().expect(name));
            assert!((a / b - 1.0).abs() < 1e-3, "{name}: {a} {b}");
        }
    }

    // On with the other number of ranks, and with the same to the bit.
    for (name, worlds) in [("two-one", [2, 1]), ("one-two", [1, 2]), ("two-two", [2, 2])] {
        shared(folder, 2, name, "");
        ended_well(&on_ranks(worlds[0], &[&format!("{name}.toml")], folder));
        shared(folder, 6, name, "");
        ended_well(&on_ranks(worlds[1], &[&format!("{name}.toml"), "--resume"], folder));
        let went_on = state(folder, name);
        let off = (0..4).map(|i| difference(&one[i], &went_on[i])).fold(0f32, f32::max);
        println!("2 steps on {} ranks, 4 on {}: {off:.1e} (bound {BOUND:.0e})", worlds[0], worlds[1]);
        assert!(off <= BOUND, "{name}: {off:e}");
        if worlds == [2, 2] {
            assert_eq!(went_on, two);
            assert_eq!(weights(folder, name), weights(folder, "two"));
        }
    }
}

/// Of the greatest value of a vector.
const BOUND: f32 = 1e-6;

#[test]
fn a_rank_that_fails_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    let told = |output: Output, word: &str, code: i32| {
        let text = stderr(&output);
        assert!(text.contains(word), "{word}: {text}");
        assert_eq!(text.matches("ERROR  ").count(), 1, "{text}");
        assert_eq!(output.status.code(), Some(code), "{text}");
    };
    shared(folder, 6, "a", "");
    told(on_ranks(2, &["none.toml"], folder), "none.toml", 2);
    told(
        on_ranks(3, &["a.toml"], folder),
        "batch: expected a multiple of 3, the number of ranks, found 4",
        2,
    );
    told(on_ranks(2, &["a.toml", "--resume"], folder), "expected a checkpoint to resume, found none", 2);

    // Ranks of different recipes: each alone is fine.
    shared(folder, 6, "b", "clip_norm = 0.5");
    let program = env!("CARGO_BIN_EXE_foldry");
    let mut mixed = mpirun(folder);
    mixed.args(["-n", "1", program, "train", "a.toml", ":", "-n", "1", program, "train", "b.toml"]);
    told(mixed.output().unwrap(), "the recipe of rank 1 is not that of rank 0", 1);

    // Rank 0 cannot write its metrics, while rank 1 is on its way.
    std::fs::remove_dir_all(folder.join("a")).unwrap();
    std::fs::create_dir(folder.join("a")).unwrap();
    std::fs::write(folder.join("a/tensorboard"), "").unwrap();
    told(on_ranks(2, &["a.toml"], folder), "ERROR  rank 0: ", 1);
}

/// Processes of this test's ranks, by what they were started with.
fn ranks_of(recipe: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let read = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if name.parse::<u32>().is_ok() && read("cmdline").ends_with(&format!("foldry\0train\0{recipe}\0")) {
            let environment = read("environ");
            let mut rank = environment.split('\0').filter_map(|v| v.strip_prefix("OMPI_COMM_WORLD_RANK="));
            if let Some(rank) = rank.next() {
                found.push((rank.parse().unwrap(), name));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_signal_to_one_rank_reaches_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    for (signal, code) in [("-TERM", Some(130)), ("-KILL", None)] {
        let name = format!("signal{signal}");
        let recipe = shared(folder, 100_000, &name, "");
        let mut command = mpirun(folder);
        command.args(["-n", "2", env!("CARGO_BIN_EXE_foldry"), "train", &recipe]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        let waits = |most: &str| {
            assert!(began.elapsed() < Duration::from_secs(300), "{most}");
            std::thread::sleep(Duration::from_millis(50));
        };
        while !folder.join(&name).join("checkpoints/step-00000002").exists() {
            assert!(child.try_wait().unwrap().is_none(), "ended early");
            waits("no second step");
        }
        let ranks = ranks_of(&recipe);
        assert_eq!(ranks.len(), 2, "{ranks:?}");
        assert_eq!(ranks[1].0, 1);
        assert!(Command::new("kill").args([signal, &ranks[1].1]).status().unwrap().success());
        while child.try_wait().unwrap().is_none() {
            waits("still running");
        }
        let output = child.wait_with_output().unwrap();
        assert!(ranks_of(&recipe).is_empty());
        let text = stderr(&output);
        match code {
            // Stopped with a checkpoint of the step at hand, and what was best so far is there to use.
            Some(_) => {
                assert_eq!(output.status.code(), code, "{text}");
                assert!(text.contains("train.done") && text.contains("interrupted"), "{text}");
                assert!(weights(folder, &name).len() > 10);
            }
            None => assert!(!output.status.success() && text.contains("signal 9"), "{text}"),
        }
    }
}

/// What each of three ranks does; the test below starts them.
#[test]
#[ignore = "no test by itself: values_are_added_in_the_order_of_ranks runs it under mpirun"]
fn as_a_rank() {
    let ranks = train::join().unwrap();
    contract::keeps(&*ranks, 11);
    println!("rank {} is content", ranks.rank());
}

#[test]
fn values_are_added_in_the_order_of_ranks() {
    let program = std::env::current_exe().unwrap();
    let mut command = mpirun(&root(""));
    command.args(["-n", "3"]).arg(program);
    let output = command.args(["--exact", "as_a_rank", "--ignored", "--nocapture"]).output().expect("mpirun");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", stderr(&output));
    assert_eq!(text.matches("is content").count(), 3, "{text}");
}
