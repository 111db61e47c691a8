//! `weights import`: any parameter file to our `.safetensors` in the weights folder.

use super::catalogue::{catalogue, model_name};
use super::folder::{Record, record, sha256};
use crate::failure::bad_input;
use crate::fold_run::preset_of;
use anyhow::Context;
use fold::names::{Naming, Summary, canonical};
use nn::files::{Arrays, Dtype, safetensors};
use std::path::{Path, PathBuf};

/// Number types to store parameters in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum StoredType {
    /// Single precision, as published.
    F32,
    /// Half the size; rounded to nearest even.
    Bf16,
}

/// Converts `file` and returns the path written.
pub(super) fn import(
    file: &Path,
    name: Option<&str>,
    dtype: StoredType,
    licence: Option<&str>,
    folder: &Path,
) -> anyhow::Result<PathBuf> {
    let shown = file.display();
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let model = name.or_else(|| model_name(&file_name)).unwrap_or_default().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if model.is_empty() || model.starts_with('.') || !model.chars().all(plain) {
        return Err(bad_input(format!(
            "expected a model name of letters, digits, _ - and ., found \"{model}\" (use --name)"
        )));
    }
    let (format, source) = nn::files::read(file).map_err(bad_input)?;
    let (naming, ours) = canonical(&source).map_err(|e| bad_input(format!("{shown}: {e}")))?;
    let summary = Summary::of(&ours);
    let asked = preset_of(&model);
    let made = summary.preset().unwrap_or("of no published size");
    if asked.is_some_and(|preset| !made.split(", ").any(|name| name == preset)) {
        return Err(bad_input(format!(
            "{shown}: expected the parameters of {model}, found a network {made}; give it another name with --name"
        )));
    }
    let target = match dtype {
        StoredType::F32 => Dtype::F32,
        StoredType::Bf16 => Dtype::BF16,
    };
    let stored: Arrays = ours.iter().map(|(name, array)| (name.clone(), array.to_float(target))).collect();
    let (hash, _) = sha256(file)?;
    let all = catalogue()?;
    let known = all.entries.iter().find(|e| e.name == model || e.members.iter().any(|m| *m == file_name));
    let licence = licence.or(known.map(|e| e.licence.as_str())).unwrap_or("unknown");
    let from = match naming {
        Naming::AlphaFold => "AlphaFold",
        Naming::OpenFold => "OpenFold",
    };
    let metadata = [
        ("source", file_name.as_ref()),
        ("source_sha256", hash.as_str()),
        ("source_format", &format!("{format}, {from} names")),
        ("licence", licence),
        ("preset", summary.preset().unwrap_or("custom")),
        ("format", "foldry"),
    ];
    let metadata = metadata.map(|(key, value)| (key.to_string(), value.to_string())).into();
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let out = format!("{model}.safetensors");
    let path = folder.join(&out);
    if path.exists() {
        eprintln!("NOTE  {}: replaced", path.display());
    }
    safetensors::write(&path, &stored, &metadata)?;
    let (sha256, size) = sha256(&path)?;
    let source = format!("{file_name} (sha256 {hash})");
    record(folder, &out, Record { sha256, size, source, licence: licence.into() })?;
    println!("{}", path.display());
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_the_golden_parameters() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/fold/params.npz");
        let folder = tempfile::tempdir().unwrap();
        let path = import(&golden, Some("tiny"), StoredType::F32, None, folder.path()).unwrap();
        let (arrays, metadata) = safetensors::read(&path).unwrap();
        let source = nn::files::npz::read(&golden).unwrap();
        assert_eq!(arrays, fold::names::from_alphafold(&source).unwrap());
        assert_eq!((metadata["preset"].as_str(), metadata["licence"].as_str()), ("custom", "unknown"));
        super::super::folder::verify(folder.path()).unwrap();
        // What we wrote can be imported again, and halves.
        let half = import(&path, Some("half"), StoredType::Bf16, Some("CC0"), folder.path()).unwrap();
        let (arrays, metadata) = safetensors::read(&half).unwrap();
        assert!(arrays.values().all(|a| a.dtype() == Dtype::BF16));
        assert_eq!(metadata["licence"], "CC0");
        let error = import(&golden, Some("model_1"), StoredType::F32, None, folder.path()).unwrap_err();
        assert!(error.to_string().contains("parameters of model_1, found a network of no published size"));
        assert!(!folder.path().join("model_1.safetensors").exists());
        for name in ["../x", "", "a/b", ".x"] {
            assert!(import(&path, Some(name), StoredType::F32, None, folder.path()).is_err(), "{name}");
        }
    }
}
