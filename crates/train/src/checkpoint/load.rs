//! Reading a checkpoint back, checking every byte.

use super::{FORMAT, Parameter, STATE, STATE_SUM, State, list, parts};
use crate::config::hex;
use crate::error::{Error, Result};
use nn::files::{Array, Arrays, Dtype, Limits, safetensors};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Most bytes of `state.json`.
const STATE_LIMIT: u64 = 64 << 20;

/// A checkpoint in memory.
pub struct Checkpoint {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its counters and settings.
    pub state: State,
    /// Its vectors by name.
    groups: BTreeMap<String, Vec<f32>>,
}

impl Checkpoint {
    /// The vector `group` ([`super::group`]) over all parameters.
    ///
    /// # Errors  If it is not there.
    pub fn take(&mut self, group: &str) -> Result<Vec<f32>> {
        self.groups
            .remove(group)
            .ok_or_else(|| Error::damaged(&self.path, format!("files of {group}"), "none"))
    }

    /// The vector `group` as arrays by the parameters' names, for export or to start another run from.
    ///
    /// # Errors  If it is not there.
    pub fn arrays(&mut self, group: &str) -> Result<Arrays> {
        let (flat, mut start) = (self.take(group)?, 0);
        let array = |parameter: &Parameter| {
            start += parameter.len();
            let values = &flat[start - parameter.len()..start];
            (parameter.name.clone(), Array::from_f32(&parameter.shape, values))
        };
        Ok(self.state.parameters.iter().map(array).collect())
    }
}

/// The newest checkpoint in `folder`.
///
/// # Errors  If the folder cannot be listed.
pub fn latest(folder: &Path) -> Result<Option<PathBuf>> {
    Ok(list(folder)?.pop().map(|(_, path)| path))
}

/// The newest checkpoint in `folder` that is whole, other than `but`.
///
/// # Errors  If the folder cannot be listed.
pub fn intact(folder: &Path, but: &Path) -> Result<Option<PathBuf>> {
    Ok(list(folder)?.into_iter().rev().map(|(_, p)| p).find(|p| p != but && load(p).is_ok()))
}

/// Reads the checkpoint at `path`.
///
/// # Errors  [`Error::Damaged`] naming the file if anything is not as it was written; then it also names the newest older
/// one beside it that is whole. Nothing is chosen silently.
pub fn load(path: &Path) -> Result<Checkpoint> {
    read(path)
}

/// Like [`load`], with a hint what to do about damage.
///
/// # Errors  as [`load`].
pub(crate) fn load_with_hint(path: &Path) -> Result<Checkpoint> {
    read(path).map_err(|error| {
        let Error::Damaged { path: file, expected, found, .. } = error else { return error };
        let beside = path.parent().and_then(|folder| intact(folder, path).ok().flatten());
        let hint = match beside {
            Some(other) => {
                let (path, other) = (path.display(), other.display());
                format!("\n  hint: {other} is intact; remove {path} to resume from it")
            }
            None => "\n  hint: no other checkpoint beside it is intact".into(),
        };
        Error::Damaged { path: file, expected, found, hint }
    })
}

fn read(path: &Path) -> Result<Checkpoint> {
    let state = read_state(path)?;
    let mut sets: BTreeMap<&str, Arrays> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for part in &state.files {
        let file = path.join(&part.name);
        // The name goes into a path: it must not lead out of the folder.
        if !names.insert(&part.name)
            || part.name.contains(['/', '\\'])
            || part.bytes > 2 * parts::LIMIT as u64
        {
            return Err(Error::damaged(&path.join(STATE), "a list of files of this folder", &part.name));
        }
        let bytes = read_sized(&file, part.bytes)?;
        let sum = hex(&Sha256::digest(&bytes));
        if sum != part.sha256 {
            return Err(Error::damaged(&file, format!("SHA-256 {}", part.sha256), sum));
        }
        let name = file.display().to_string();
        let (arrays, _) = safetensors::parse(&name, &bytes.into(), &Limits::default())?;
        for (name, array) in arrays {
            if array.dtype() != Dtype::F32 {
                return Err(Error::damaged(&file, format!("{name} in f32"), array.dtype()));
            }
            if sets.entry(&part.group).or_default().insert(name.clone(), array).is_some() {
                return Err(Error::damaged(&file, format!("{name} once"), "twice"));
            }
        }
    }
    let mut groups = BTreeMap::new();
    for (group, arrays) in sets {
        let flat = parts::join(&state.parameters, arrays)
            .map_err(|found| Error::damaged(path, format!("every parameter in {group}"), found))?;
        groups.insert(group.to_owned(), flat);
    }
    Ok(Checkpoint { path: path.to_owned(), groups, state })
}

fn read_state(path: &Path) -> Result<State> {
    let file = path.join(STATE);
    let size = size_of(&file)?;
    if size > STATE_LIMIT {
        return Err(Error::damaged(&file, format!("at most {STATE_LIMIT} bytes"), size));
    }
    let bytes = read_sized(&file, size)?;
    let sum = format!("{}  {STATE}\n", hex(&Sha256::digest(&bytes)));
    let sum_file = path.join(STATE_SUM);
    let stored = read_sized(&sum_file, sum.len() as u64)?;
    if stored != sum.as_bytes() {
        return Err(Error::damaged(&file, format!("the SHA-256 in {STATE_SUM}"), sum.trim_end()));
    }
    let state: State = serde_json::from_slice(&bytes)
        .map_err(|e| Error::damaged(&file, format!("the state of a run, format {FORMAT}"), e))?;
    if state.format != FORMAT {
        return Err(Error::damaged(&file, format!("format {FORMAT}"), state.format));
    }
    Ok(state)
}

/// A missing file of a checkpoint is damage, too.
fn size_of(file: &Path) -> Result<u64> {
    match std::fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::damaged(file, "a file of the checkpoint", "none"))
        }
        Err(e) => Err(Error::io(file)(e)),
    }
}

fn read_sized(file: &Path, expected: u64) -> Result<Vec<u8>> {
    let size = size_of(file)?;
    if size != expected {
        return Err(Error::damaged(file, format!("{expected} bytes"), size));
    }
    std::fs::read(file).map_err(Error::io(file))
}
