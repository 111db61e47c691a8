//! `foldry data` as a user runs it, on the example chains.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/examples")
}

fn foldry(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foldry")).args(args).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The four examples under the names of their alignments, and a file that is no structure.
fn source(folder: &Path) -> PathBuf {
    let source = folder.join("in");
    std::fs::create_dir(&source).unwrap();
    for id in ["1jos_A", "2ayd_A", "4mo0_A", "5pal_A"] {
        std::fs::copy(examples().join(format!("{id}.ref.pdb")), source.join(format!("{id}.pdb"))).unwrap();
        std::fs::copy(examples().join(format!("{id}.a3m")), source.join(format!("{id}.a3m"))).unwrap();
    }
    std::fs::write(source.join("bad.cif"), "data_x\nloop_\n_atom_site.id\n").unwrap();
    source
}

#[test]
fn ingest_and_stats() {
    let folder = tempfile::tempdir().unwrap();
    source(folder.path());
    let split = "id\tcluster\tsplit\n5pal_A\tx\ttest\n4mo0_A\ty\tval\n";
    std::fs::write(folder.path().join("split.tsv"), split).unwrap();
    let args = ["data", "ingest", "in", "-o", "set.foldset", "--split", "split.tsv", "--unlisted", "train"];
    let done = foldry(&args, folder.path());
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(text(&done.stdout), "set.foldset\n");
    let words = text(&done.stderr);
    assert!(words.contains("1 refused (unreadable 1), 4 kept") && words.contains("bad.cif"), "{words}");
    let report = std::fs::read_to_string(folder.path().join("set.report.tsv")).unwrap();
    assert!(report.lines().nth(1).unwrap().starts_with("\tbad.cif\tunreadable\t"), "{report}");

    let stats = foldry(&["data", "stats", "set.foldset", "--json", "--verify"], folder.path());
    let object: serde_json::Value = serde_json::from_slice(&stats.stdout).unwrap();
    let all = &object["stats"]["all"];
    assert_eq!((&all["chains"], &all["residues"]), (&4.into(), &(100 + 76 + 79 + 109).into()));
    assert_eq!((&all["with_alignment"], &object["refused"]["unreadable"]), (&4.into(), &1.into()));
    assert_eq!(object["stats"]["splits"][0][1]["chains"], 2);
    assert_eq!(object["stats"]["kinds"][0], serde_json::json!(["backbone", 4]));
    let table = text(&foldry(&["data", "stats", "set.foldset"], folder.path()).stdout);
    assert!(
        table.contains("\nchains\t4\t2\t1\t1\n") && table.contains("\nrefused unreadable\t1\n"),
        "{table}"
    );

    let again = foldry(&args, folder.path());
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("--overwrite"));
}

#[test]
fn bad_input_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    source(folder.path());
    let code = |args: &[&str], word: &str| {
        let done = foldry(&[&["data"], args].concat(), folder.path());
        assert!(text(&done.stderr).contains(word), "{}", text(&done.stderr));
        done.status.code().unwrap()
    };
    assert_eq!(code(&["ingest", "none", "-o", "x.foldset"], "none: No such file"), 2);
    assert_eq!(code(&["ingest", "in", "-o", "x.foldset", "--split", "in/bad.cif"], "a column id"), 2);
    assert_eq!(
        code(&["ingest", "in", "-o", "x.foldset", "--min-length", "500"], "no chain was kept of 5"),
        1
    );
    assert_eq!(code(&["ingest", "in", "-o", "x.foldset", "--before", "1.1.2020"], "YYYY-MM-DD"), 2);
    assert_eq!(code(&["stats", "in/bad.cif"], "expected a dataset"), 2);
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["in", "x.report.tsv"]);
}
