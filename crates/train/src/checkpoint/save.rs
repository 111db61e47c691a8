//! Writing a checkpoint: a temporary folder, every file synced, one rename.

use super::{Part, STATE, STATE_SUM, State, folder_name, list, parts};
use crate::config::hex;
use crate::error::{Error, Result};
use nn::files::safetensors;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes the vectors `groups` (name, values) and `state` to `folder/step-NNNNNNNN`, whole or not at all. `state.files` is
/// filled in. One that was there is replaced.
///
/// # Errors  [`Error::Save`], which says what is still there.
pub fn save(folder: &Path, state: State, groups: &[(&str, &[f32])]) -> Result<PathBuf> {
    let target = folder.join(folder_name(state.step));
    let temporary = folder.join(format!(".{}.{}.part", folder_name(state.step), std::process::id()));
    let outcome = fill(folder, &temporary, state, groups).and_then(|()| place(folder, &temporary, &target));
    if let Err(source) = outcome {
        // The first error is the one to report; the leftover may not even exist.
        let _ = fs::remove_dir_all(&temporary);
        let previous = match list(folder).unwrap_or_default().pop() {
            Some((_, path)) => format!("{} is untouched", path.display()),
            None => "there is no earlier one".into(),
        };
        return Err(Error::Save { path: target, source: source.into(), previous });
    }
    Ok(target)
}

fn fill(folder: &Path, temporary: &Path, mut state: State, groups: &[(&str, &[f32])]) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    // Left by a process of the same number that was killed.
    let _ = fs::remove_dir_all(temporary);
    fs::create_dir(temporary).map_err(Error::io(temporary))?;
    state.files.clear();
    for (group, flat) in groups {
        for (i, arrays) in parts::cut(&state.parameters, flat, parts::LIMIT).iter().enumerate() {
            let name = format!("{group}-{:05}.safetensors", i + 1);
            let bytes = safetensors::to_bytes(arrays, &Default::default())?;
            write(&temporary.join(&name), &bytes)?;
            let sha256 = hex(&Sha256::digest(&bytes));
            state.files.push(Part { name, group: (*group).into(), bytes: bytes.len() as u64, sha256 });
        }
    }
    let mut text = serde_json::to_string_pretty(&state)
        .map_err(|e| Error::config(temporary.join(STATE).display(), "a state that can be written", e))?;
    text.push('\n');
    write(&temporary.join(STATE), text.as_bytes())?;
    let sum = format!("{}  {STATE}\n", hex(&Sha256::digest(text.as_bytes())));
    write(&temporary.join(STATE_SUM), sum.as_bytes())?;
    sync(temporary)
}

/// A file, written and synced.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).map_err(Error::io(path))?;
    file.write_all(bytes).map_err(Error::io(path))?;
    file.sync_all().map_err(Error::io(path))
}

/// Renames the whole into place. One that is in the way is set aside first and comes back if that fails.
fn place(folder: &Path, temporary: &Path, target: &Path) -> Result<()> {
    let aside = temporary.with_extension("old");
    let replaces = target.exists();
    if replaces {
        let _ = fs::remove_dir_all(&aside);
        fs::rename(target, &aside).map_err(Error::io(target))?;
    }
    if let Err(e) = fs::rename(temporary, target) {
        if replaces {
            fs::rename(&aside, target).map_err(Error::io(target))?;
        }
        return Err(Error::io(target)(e));
    }
    sync(folder)?;
    if replaces {
        let _ = fs::remove_dir_all(&aside);
    }
    Ok(())
}

/// Makes a folder's entries last.
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(Error::io(folder))
}

/// Removes all but the `keep` newest checkpoints of `folder`, and what interrupted saves left.
///
/// # Errors  If one cannot be removed.
pub fn prune(folder: &Path, keep: usize) -> Result<()> {
    let all = list(folder)?;
    for (_, path) in &all[..all.len().saturating_sub(keep)] {
        fs::remove_dir_all(path).map_err(Error::io(path))?;
    }
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with(".step-") && (name.ends_with(".part") || name.ends_with(".old")) {
            fs::remove_dir_all(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}
