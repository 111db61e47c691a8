//! A training run that takes seconds.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A path of the repository.
pub fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

pub fn foldry(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foldry"));
    command.args(args).current_dir(folder).env("FOLDRY_WEIGHTS", folder.join("none")).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A dataset of two training chains, one for validation, one for test; a network of one block; a recipe.
pub fn prepare(folder: &Path) {
    std::fs::create_dir(folder.join("in")).unwrap();
    for id in ["1jos_A", "2ayd_A", "4mo0_A", "5pal_A"] {
        for (from, to) in [("ref.pdb", "pdb"), ("a3m", "a3m")] {
            let from = root(&format!("data/examples/{id}.{from}"));
            std::fs::copy(from, folder.join(format!("in/{id}.{to}"))).unwrap();
        }
    }
    let split = "id\tcluster\tsplit\n5pal_A\tx\ttest\n4mo0_A\ty\tval\n";
    std::fs::write(folder.join("split.tsv"), split).unwrap();
    let args = ["data", "ingest", "in", "-o", "set.foldset", "--split", "split.tsv", "--unlisted", "train"];
    let done = foldry(&args, folder);
    assert!(done.status.success(), "{}", stderr(&done));
    let text = std::fs::read_to_string(root("data/models/mini.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["model"]["embeddings_and_evoformer"]["evoformer_num_block"] = 1.into();
    config["model"]["heads"]["structure_module"]["num_layer"] = 2.into();
    std::fs::write(folder.join("tiny.json"), config.to_string()).unwrap();
    recipe(folder, 4, "run", "");
}

pub fn recipe(folder: &Path, steps: u32, output: &str, more: &str) {
    let text = format!(
        "model = 'tiny.json'\ndataset = 'set.foldset'\noutput = '{output}'\n{more}\n\
         [sample]\ncrop = 24\nrecycles = 1\n\
         [train]\nsteps = {steps}\nbatch = 3\ntogether = 2\nlr = 1e-3\nvalidate_every = 2\ncheckpoint_every = 2\n\
         [validation]\nchains = 1\nlongest = 90\nrecycles = 0\n"
    );
    std::fs::write(folder.join(format!("{output}.toml")), text).unwrap();
}

pub fn weights(folder: &Path, output: &str) -> nn::files::Arrays {
    nn::files::read(&folder.join(output).join("model.safetensors")).unwrap().1
}
