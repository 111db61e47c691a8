//! Which parameters are used: a file, an installed model, or the embedded one.

use crate::commands::weights::{find, installed};
use crate::embedded;
use crate::failure::bad_input;
use features::FeatureConfig;
use std::path::{Path, PathBuf};

/// Parameters that were decided for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Where they are.
    pub source: Source,
    /// Model name as asked for or as the file is called; empty if only the content can tell.
    pub model: String,
}

/// Where parameters are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// In this program.
    Embedded,
}

/// The file of `--params`, else the installed file of `--model`, else the first one installed, else the embedded one.
///
/// # Errors  bad input, with the two lines on how to get parameters if those asked for are not there.
pub fn choose(model: &str, params: Option<&Path>) -> anyhow::Result<Chosen> {
    if let Some(path) = params {
        if path.is_dir() {
            return Err(bad_input(format!("{}: expected a parameter file, found a folder", path.display())));
        }
        if !path.exists() {
            return Err(bad_input(format!("{}: expected a parameter file, found none", path.display())));
        }
        let model = if model == "auto" { model_of(path) } else { model.to_string() };
        return Ok(Chosen { source: Source::File(path.to_path_buf()), model });
    }
    if model != "auto" {
        return match find(model) {
            Some(path) => Ok(Chosen { source: Source::File(path), model: model.to_string() }),
            None if model == embedded::NAME => Ok(embedded()),
            None => Err(not_installed(model)),
        };
    }
    let first = installed().into_iter().find(|w| is_monomer(&w.model));
    Ok(first.map_or_else(embedded, |w| Chosen { source: Source::File(w.path), model: w.model }))
}

fn embedded() -> Chosen {
    Chosen { source: Source::Embedded, model: embedded::NAME.into() }
}

fn not_installed(name: &str) -> anyhow::Error {
    bad_input(format!(
        "no parameters of `{name}` are installed; the built-in model is `{}`\n       \
         get them with `foldry weights pull {name}`, or give a file with `--params FILE` (.npz, .pt or .safetensors)",
        embedded::NAME
    ))
}

/// The preset a model name stands for: AlphaFold's own, or for OpenFold's `finetuning_…` and
/// `initial_training` the AlphaFold model with the same features and heads.
pub fn preset_of(model: &str) -> Option<&'static str> {
    if let Some(known) = FeatureConfig::preset_names().iter().find(|name| **name == model) {
        return Some(known);
    }
    if !model.starts_with("finetuning") && !model.starts_with("initial_training") {
        return None;
    }
    Some(match (model.contains("no_templ"), model.contains("ptm")) {
        (false, false) => "model_1",
        (false, true) => "model_1_ptm",
        (true, false) => "model_3",
        (true, true) => "model_3_ptm",
    })
}

fn is_monomer(model: &str) -> bool {
    preset_of(model).is_some()
}

/// The model a file is named after, empty if its name is no model's.
fn model_of(path: &Path) -> String {
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let stem = stem.strip_prefix("params_").unwrap_or(stem);
    if is_monomer(stem) { stem.to_string() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_presets() {
        for (model, preset) in [
            ("model_4_ptm", Some("model_4_ptm")),
            ("finetuning_3", Some("model_1")),
            ("finetuning_ptm_2", Some("model_1_ptm")),
            ("finetuning_no_templ_1", Some("model_3")),
            ("finetuning_no_templ_ptm_1", Some("model_3_ptm")),
            ("model_1_multimer_v3", None),
            ("model_6", None),
        ] {
            assert_eq!(preset_of(model), preset, "{model}");
        }
        assert_eq!(model_of(Path::new("a/params_model_2.npz")), "model_2");
        assert_eq!(model_of(Path::new("a/params.npz")), "");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = choose("auto", Some(Path::new("nowhere.npz"))).unwrap_err();
        assert_eq!(error.to_string(), "nowhere.npz: expected a parameter file, found none");
    }
}
