//! `foldry fold` as a user runs it, on a shipped alignment with the small golden network.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn foldry(input: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foldry"));
    command
        .arg("fold")
        .arg(root(input))
        .arg("-o")
        .arg(folder)
        .env("FOLDRY_WEIGHTS", folder.join("no-weights"));
    command
}

fn small(input: &str, folder: &Path) -> Command {
    let mut command = foldry(input, folder);
    let golden = root("tests/golden/fold");
    command.arg("--config").arg(golden.join("config.json")).arg("--params").arg(golden.join("params.npz"));
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn writes_everything_then_skips_then_asks() {
    let folder = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| small("data/examples/4mo0_A.a3m", folder.path()).args(more).output().unwrap();
    let first = run(&["--recycles", "1", "--num-seeds", "2", "--json"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    let place = folder.path().join("4mo0_A");
    let mut names: Vec<_> =
        std::fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let ranked = |rank: u32| ["cif", "pae.json", "pdb", "scores.json"].map(|e| format!("rank_00{rank}.{e}"));
    let expected =
        [ranked(1), ranked(2)].concat().into_iter().chain(["report.html", "summary.json"].map(String::from));
    assert_eq!(names, expected.collect::<Vec<_>>());

    let summary = json(&place.join("summary.json"));
    assert_eq!(serde_json::from_slice::<Value>(&first.stdout).unwrap()[0], summary);
    assert_eq!(summary["inputs"]["residues"], 79);
    let best = &summary["ranking"][0];
    assert!(best["mean_plddt"].as_f64() >= summary["ranking"][1]["mean_plddt"].as_f64());
    assert_eq!((best["passes"].as_u64(), summary["receipt"]["seed"].as_u64()), (Some(2), Some(0)));
    for rank in [1, 2] {
        let scores = json(&place.join(format!("rank_00{rank}.scores.json")));
        let plddt: Vec<f64> =
            scores["plddt"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!((plddt.len(), scores["pae"].as_array().unwrap().len()), (79, 79));
        for kind in ["pdb", "cif"] {
            let bytes = std::fs::read(place.join(format!("rank_00{rank}.{kind}"))).unwrap();
            let read = structure::read(&bytes, None, &structure::Limits::default()).unwrap();
            let residues = &read.chains[0].residues;
            assert_eq!(residues.len(), 79);
            let (b, p) = (f64::from(residues[7].b_factor[1]), plddt[7]);
            assert!((b - p).abs() < 0.011, "{kind}: {b} against {p}");
        }
    }
    let log = stderr(&first);
    assert!(log.contains("plan: 79 residues, 7+11 rows, 2 passes") && log.contains("pass=2/2"), "{log}");
    let sequence = std::fs::read_to_string(root("data/examples/4mo0_A.fasta")).unwrap();
    let sequence = sequence.lines().nth(1).unwrap();
    assert!(!log.contains(&sequence[..20]), "the sequence is in the log");

    let again = run(&["--recycles", "1", "--num-seeds", "2"]);
    assert_eq!(again.status.code(), Some(0));
    assert!(stderr(&again).contains("finished before") && !stderr(&again).contains("fold.pass"));
    let other = run(&["--recycles", "2", "--num-seeds", "2"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("recycles 1 instead of 2; --overwrite"), "{}", stderr(&other));
    let over = run(&["--recycles", "0", "--overwrite"]);
    assert_eq!(over.status.code(), Some(0), "{}", stderr(&over));
    assert_eq!(json(&place.join("summary.json"))["ranking"].as_array().unwrap().len(), 1);
    assert!(!place.join("rank_002.pdb").exists());
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let pdb = ["1", "3"].iter().zip(&folders).map(|(threads, folder)| {
        let mut command = small("data/examples/2ayd_A.a3m", folder.path());
        let output =
            command.args(["--recycles", "1", "--seed", "5"]).env("RAYON_NUM_THREADS", threads).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        std::fs::read(folder.path().join("2ayd_A/rank_001.pdb")).unwrap()
    });
    let pdb: Vec<_> = pdb.collect();
    assert!(pdb[0] == pdb[1], "files differ");
}

#[test]
fn without_parameters_the_built_in_model_folds_and_says_how_good_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = foldry("data/examples/4mo0_A.a3m", folder.path()).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("built-in model mini") && text.contains("lDDT-Cα"), "{text}");
    let summary = json(&folder.path().join("4mo0_A/summary.json"));
    assert_eq!(summary["receipt"]["model"], "mini");
    assert!(summary["ranking"][0]["mean_plddt"].as_f64().unwrap() > 0.0);
    // From the sequence alone, without a single extra row; and by name.
    let alone =
        foldry("data/examples/2ayd_A.fasta", folder.path()).args(["--model", "mini"]).output().unwrap();
    assert_eq!(alone.status.code(), Some(0), "{}", stderr(&alone));
    assert!(folder.path().join("2ayd_A/rank_001.pdb").exists());
}

#[test]
fn a_model_that_is_not_installed_is_asked_for_in_two_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = foldry("data/examples/4mo0_A.fasta", folder.path());
    let output = command.args(["--model", "model_1_ptm"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = stderr(&output);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("foldry weights pull model_1_ptm") && text.contains("--params FILE"), "{text}");
}

#[test]
fn what_this_version_lacks_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (["--device", "cuda"], "no GPU"),
        (["--msa-mode", "server"], "not in this version"),
        (["--max-msa", "0:4"], "512:1024"),
        (["--model", "model_9"], "`model_9`"),
        (["--recycle-tolerance", "NaN"], "NaN"),
        (["--templates", "nowhere.pdb"], "nowhere.pdb"),
    ] {
        let output = foldry("data/examples/4mo0_A.a3m", folder.path()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_bad_target_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    // A folder that is not ours stands where the first target belongs.
    std::fs::create_dir(folder.path().join("2ayd_A")).unwrap();
    std::fs::write(folder.path().join("2ayd_A/thesis.txt"), "mine").unwrap();
    let mut command = small("data/examples/2ayd_A.a3m", folder.path());
    let output = command.arg(root("data/examples/4mo0_A.a3m")).args(["--recycles", "0"]).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("1 of 2 targets failed: 2ayd_A"), "{text}");
    assert!(folder.path().join("4mo0_A/summary.json").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    // Both targets have the same settings, so the finished one cannot be made with fewer recycles: its
    // passes stop early by tolerance instead, which the second, cut off in its first pass, never reaches.
    let mut command = small("data/examples/2ayd_A.a3m", folder.path());
    command.arg(root("data/examples/4mo0_A.a3m")).args(["--recycles", "400", "--recycle-tolerance", "1000"]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut sent = false;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        if line.unwrap().contains("job=4mo0_A stage=features") && !sent {
            sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success();
        }
    }
    assert!(sent);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["2ayd_A"]);
    assert!(folder.path().join("2ayd_A/rank_001.pdb").exists());
}

#[test]
fn a_bad_record_or_file_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.fasta"), folder.path().join("out"));
    std::fs::write(&input, ">one\nMKVLAWGDEYF\n>two\nMKV7LA\n>three\nMKVXAWGDEY\n>none\nXXX\n").unwrap();
    let mut command = small("data/examples/nowhere.a3m", &out);
    let output = command.arg(&input).args(["--recycles", "0"]).output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("in.fasta:4:4: expected an amino-acid letter, found `7`"), "{text}");
    assert!(text.contains("nowhere.a3m: No such file"), "{text}");
    let says = "1 of 3 targets failed: none; 2 of the inputs could not be read, see above";
    assert!(text.contains("none: expected at least one known residue, found 3 of `X`"), "{text}");
    assert!(text.trim_end().ends_with(says), "{text}");
    assert!(out.join("one/summary.json").exists() && out.join("three/summary.json").exists());
}

#[test]
fn a_damaged_result_is_made_again_and_a_changed_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("t.fasta");
    std::fs::write(&input, ">t\nMKVLAWGDEYFRN\n").unwrap();
    let run = |more: &[&str]| {
        let golden = root("tests/golden/fold");
        let mut command = Command::new(env!("CARGO_BIN_EXE_foldry"));
        command.arg("fold").arg(&input).arg("-o").arg(folder.path().join("out")).args(["--recycles", "0"]);
        command.arg("--config").arg(golden.join("config.json"));
        command.arg("--params").arg(golden.join("params.npz")).args(more).output().unwrap()
    };
    assert_eq!(run(&[]).status.code(), Some(0));
    let place = folder.path().join("out/t");
    let pdb = std::fs::read(place.join("rank_001.pdb")).unwrap();
    for file in ["rank_001.pdb", "summary.json", "report.html"] {
        let whole = std::fs::read(place.join(file)).unwrap();
        std::fs::write(place.join(file), &whole[..whole.len() / 2]).unwrap();
        let output = run(&[]);
        assert_eq!(output.status.code(), Some(0));
        assert!(
            stderr(&output).contains(&format!("is made again: {file} is cut off")),
            "{}",
            stderr(&output)
        );
        assert_eq!(std::fs::read(place.join("rank_001.pdb")).unwrap(), pdb);
    }
    std::fs::write(place.join("rank_001.pdb"), [&pdb[..], b"REMARK mine\n"].concat()).unwrap();
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("rank_001.pdb changed since; --overwrite"), "{}", stderr(&output));
    assert_eq!(run(&["--overwrite"]).status.code(), Some(0));
    assert_eq!(std::fs::read(place.join("rank_001.pdb")).unwrap(), pdb);
}

#[test]
fn the_largest_seed_is_one_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let most = u64::MAX.to_string();
    let run = |seeds: &str| {
        let mut command = small("data/examples/4mo0_A.fasta", folder.path());
        command.args(["--recycles", "0", "--seed", &most, "--num-seeds", seeds]).output().unwrap()
    };
    let output = run("2");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("expected none beyond 18446744073709551615"), "{}", stderr(&output));
    assert_eq!(run("1").status.code(), Some(0));
}

/// A reader of stderr that goes away does not stop the work; data that cannot be written is an error.
#[cfg(target_os = "linux")]
#[test]
fn closed_and_full_streams_are_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let run = || {
        let mut command = small("data/examples/4mo0_A.fasta", folder.path());
        command.args(["--recycles", "0", "--overwrite", "--json"]).stdout(Stdio::null());
        command
    };
    let mut child = run().stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(folder.path().join("4mo0_A/summary.json").exists());
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(run().stderr(full()).status().unwrap().code(), Some(0));
    let output = run().stdout(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("ERROR  standard output: "), "{}", stderr(&output));
}

/// A job file decides on seeds and recycles where the command line does not.
#[test]
fn job_files_are_inputs_with_settings_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("jobs.json");
    let text = r#"[{"name": "first job", "sequence": "MKVLAWGDEYFRNQH", "options": {"seed": 5, "num_seeds": 2, "recycles": 0}},
                   {"name": "second", "sequence": "MKVLAWGDEYFRNQ", "options": {"recycle_tolerance": 0.5}},
                   {"name": "third", "sequence": "MKVLAWGDEYFRN"}]"#;
    std::fs::write(&job, text).unwrap();
    let run = |seed: &[&str]| {
        let golden = root("tests/golden/fold");
        let mut command = Command::new(env!("CARGO_BIN_EXE_foldry"));
        command
            .arg("fold")
            .arg(&job)
            .arg("-o")
            .arg(folder.path().join(format!("out{}", seed.len())))
            .args(seed);
        command.env("FOLDRY_WEIGHTS", folder.path().join("no-weights"));
        command
            .arg("--config")
            .arg(golden.join("config.json"))
            .arg("--params")
            .arg(golden.join("params.npz"));
        command.output().unwrap()
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let receipt = |out: &str, name: &str| {
        json(&folder.path().join(out).join(name).join("summary.json"))["receipt"].clone()
    };
    let first = receipt("out0", "first_job");
    assert_eq!(
        (first["seed"].as_u64(), first["num_seeds"].as_u64(), first["recycles"].as_u64()),
        (Some(5), Some(2), Some(0))
    );
    let third = receipt("out0", "third");
    assert_eq!((third["seed"].as_u64(), third["num_seeds"].as_u64()), (Some(0), Some(1)));
    assert_ne!(third["recycles"].as_u64(), Some(0));
    let output = run(&["--seed", "9"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(receipt("out2", "first_job")["seed"].as_u64(), Some(9));
    std::fs::write(&job, r#"{"sequences": [{"protein": {"id": ["A", "B"], "sequence": "MK"}}]}"#).unwrap();
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains(
            "jobs.json: /sequences/0/protein: complexes (here 2 chains: A, B) are not supported yet"
        ),
        "{}",
        stderr(&output)
    );
}
