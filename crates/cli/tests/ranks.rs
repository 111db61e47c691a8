//! `mpirun foldry train`: two processes train as one does. Run by tests/mpi/run.sh.
#![cfg(feature = "mpi")]

mod tiny;

use std::path::Path;
use std::process::{Command, Output};
use tiny::{foldry, prepare, recipe, stderr, weights};

/// `foldry train RECIPE` on two ranks.
fn on_two(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new("mpirun");
    command.args([
        "--allow-run-as-root",
        "--oversubscribe",
        "-n",
        "2",
        env!("CARGO_BIN_EXE_foldry"),
        "train",
    ]);
    command.args(more).current_dir(folder).output().unwrap()
}

/// Greatest difference of any parameter, and of the greatest parameter.
fn difference(a: &nn::files::Arrays, b: &nn::files::Arrays) -> (f32, f32) {
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let (mut off, mut most) = (0f32, 0f32);
    for (name, array) in a {
        for (x, y) in array.to_f32().iter().zip(b[name].to_f32()) {
            (off, most) = (off.max((x - y).abs()), most.max(x.abs()));
        }
    }
    (off, most)
}

#[test]
fn two_ranks_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    prepare(folder);
    for name in ["one", "two", "half", "odd"] {
        recipe(folder, 4, name, "");
        let path = folder.join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let batch = if name == "odd" { "batch = 3" } else { "batch = 4" };
        std::fs::write(&path, text.replace("batch = 3", batch)).unwrap();
    }
    let one = foldry(&["train", "one.toml"], folder);
    assert_eq!(one.status.code(), Some(0), "{}", stderr(&one));
    let two = on_two(folder, &["two.toml"]);
    assert_eq!(two.status.code(), Some(0), "{}", stderr(&two));
    assert!(stderr(&two).contains("ranks=2"), "{}", stderr(&two));
    assert_eq!(stderr(&two).matches("train.done step=4 samples=16 skipped=0").count(), 1, "{}", stderr(&two));
    let (one, two) = (weights(folder, "one"), weights(folder, "two"));
    let (off, most) = difference(&one, &two);
    println!("4 steps of 4 samples, 1 rank and 2: parameters up to {most:.2} differ by at most {off:.1e}");
    // A step moves a parameter by up to the rate, 1e-3: sums in another order may turn the last bits of a gradient only.
    assert!(off < 2e-5, "{off:e}");
    let start = difference(&one, &initial(folder)).0;
    assert!(start > 1e-3, "training moved nothing: {start:e}");

    // Begun by two, ended by one.
    recipe_steps(folder, "half", 2);
    assert_eq!(on_two(folder, &["half.toml"]).status.code(), Some(0));
    recipe_steps(folder, "half", 4);
    let rest = foldry(&["train", "half.toml", "--resume"], folder);
    assert_eq!(rest.status.code(), Some(0), "{}", stderr(&rest));
    let (off, _) = difference(&one, &weights(folder, "half"));
    println!("2 steps on 2 ranks, 2 more on 1: at most {off:.1e}");
    assert!(off < 2e-5, "{off:e}");

    // What cannot be is said once, and ends all.
    let odd = on_two(folder, &["odd.toml"]);
    assert_eq!(odd.status.code(), Some(2), "{}", stderr(&odd));
    assert_eq!(stderr(&odd).matches("expected a multiple of 2, the number of ranks, found 3").count(), 1);
    let none = on_two(folder, &["none.toml"]);
    assert_eq!(none.status.code(), Some(2), "{}", stderr(&none));
}

fn recipe_steps(folder: &Path, name: &str, steps: u32) {
    let path = folder.join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.lines().find(|line| line.starts_with("steps")).unwrap().to_owned();
    std::fs::write(&path, text.replace(&line, &format!("steps = {steps}"))).unwrap();
}

/// The averages after no more than one step of rate 0: what training begins with.
fn initial(folder: &Path) -> nn::files::Arrays {
    recipe(folder, 1, "start", "");
    let path = folder.join("start.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("lr = 1e-3", "lr = 0.0")).unwrap();
    let start = foldry(&["train", "start.toml"], folder);
    assert_eq!(start.status.code(), Some(0), "{}", stderr(&start));
    weights(folder, "start")
}
