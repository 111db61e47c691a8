//! The weights folder: what is in it, and the record of what each file should hash to.

use super::catalogue::model_name;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const LOCK: &str = "weights.lock.json";

/// What is known of an installed file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub sha256: String,
    pub size: u64,
    pub source: String,
    pub licence: String,
}

/// A parameter file in the weights folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Model name, as `--model` takes it.
    pub model: String,
    /// The file.
    pub path: PathBuf,
    /// Its size, bytes.
    pub size: u64,
}

/// `$FOLDRY_WEIGHTS`, or `foldry/weights` in `$XDG_DATA_HOME` or `~/.local/share`.
pub(super) fn weights_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("FOLDRY_WEIGHTS").or_else(|| {
        let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")))?;
        Some(data.join("foldry/weights"))
    })
}

/// The installed parameter file of a model; our own format is preferred.
pub fn find(model: &str) -> Option<PathBuf> {
    find_in(&weights_folder()?, model)
}

pub(super) fn find_in(folder: &Path, model: &str) -> Option<PathBuf> {
    let names = ["safetensors", "npz", "pt"].map(|kind| format!("{model}.{kind}"));
    let names = names.into_iter().chain([format!("params_{model}.npz")]);
    // A model name is one file name, never a path.
    if model.contains(['/', '\\']) {
        return None;
    }
    names.map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Every parameter file in the weights folder, by model name.
pub fn installed() -> Vec<Installed> {
    weights_folder().map(|folder| installed_in(&folder)).unwrap_or_default()
}

pub(super) fn installed_in(folder: &Path) -> Vec<Installed> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Installed> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_str().filter(|n| !n.starts_with('.'))?;
            let meta = entry.path().metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some(Installed { model: model_name(name)?.into(), path: entry.path(), size: meta.len() })
        })
        .collect();
    found.sort_by(|a, b| (&a.model, &a.path).cmp(&(&b.model, &b.path)));
    found
}

/// The record of a folder; empty if there is none yet.
pub(super) fn records(folder: &Path) -> anyhow::Result<BTreeMap<String, Record>> {
    let path = folder.join(LOCK);
    match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).with_context(|| path.display().to_string()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

/// Adds or replaces one file's record.
pub(super) fn record(folder: &Path, name: &str, entry: Record) -> anyhow::Result<()> {
    let mut all = records(folder)?;
    all.insert(name.to_string(), entry);
    let text = serde_json::to_string_pretty(&all)? + "\n";
    let path = folder.join(LOCK);
    let part = folder.join(format!(".{LOCK}.{}.part", std::process::id()));
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, &path))
        .with_context(|| path.display().to_string())
}

/// SHA-256 of a file, hexadecimal, and its size.
pub fn sha256(path: &Path) -> anyhow::Result<(String, u64)> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).with_context(|| path.display().to_string())?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        size += count as u64;
    }
    Ok((hash.finalize().iter().map(|b| format!("{b:02x}")).collect(), size))
}

/// Hashes every recorded file again; tells of each on stdout.
pub(super) fn verify(folder: &Path) -> anyhow::Result<()> {
    let known = records(folder)?;
    let mut wrong = 0;
    for (name, record) in &known {
        let path = folder.join(name);
        if !path.is_file() {
            wrong += 1;
            println!("missing  {name}");
            continue;
        }
        let (hash, size) = sha256(&path)?;
        if hash == record.sha256 && size == record.size {
            println!("ok       {name}");
        } else {
            wrong += 1;
            println!("CHANGED  {name}: expected sha256 {}, found {hash}", record.sha256);
        }
    }
    if known.is_empty() {
        eprintln!("NOTE  {}: no file is recorded here", folder.display());
    }
    for file in installed_in(folder) {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        if !known.contains_key(&*name) {
            println!("unknown  {name}: no checksum was recorded");
        }
    }
    anyhow::ensure!(
        wrong == 0,
        "{wrong} of {} files in {} are not as recorded",
        known.len(),
        folder.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_verifies_and_notices_change() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("params_model_1.npz"), b"abc").unwrap();
        std::fs::write(at("finetuning_3.pt"), b"de").unwrap();
        std::fs::write(at(".x.safetensors"), b"").unwrap();
        let found = installed_in(folder.path());
        assert_eq!(
            found.iter().map(|f| (&*f.model, f.size)).collect::<Vec<_>>(),
            [("finetuning_3", 2), ("model_1", 3)]
        );
        assert_eq!(find_in(folder.path(), "model_1"), Some(at("params_model_1.npz")));
        assert_eq!(find_in(folder.path(), "model_2"), None);
        assert_eq!(find_in(folder.path(), "../model_1"), None);
        std::fs::write(at("model_1.safetensors"), b"x").unwrap();
        assert_eq!(find_in(folder.path(), "model_1"), Some(at("model_1.safetensors")));
        let (hash, size) = sha256(&at("params_model_1.npz")).unwrap();
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        record(folder.path(), "params_model_1.npz", Record { sha256: hash, size, ..Record::default() })
            .unwrap();
        verify(folder.path()).unwrap();
        std::fs::write(at("params_model_1.npz"), b"abd").unwrap();
        assert!(verify(folder.path()).unwrap_err().to_string().starts_with("1 of 1 files"));
    }
}
