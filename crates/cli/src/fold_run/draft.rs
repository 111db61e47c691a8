//! A target's folder: written beside its place, locked meanwhile, then renamed.

use super::receipt::sha256_of;
use crate::disk;
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A folder under construction, removed if it is not finished.
pub struct Draft {
    part: PathBuf,
    place: PathBuf,
    /// Name, size and SHA-256 of what was written.
    files: RefCell<Map<String, Value>>,
    /// Open and locked as long as this run works on it.
    _lock: Option<File>,
    finished: bool,
}

fn part_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.partial"))
}

fn old_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.old"))
}

/// Clears up after a run that was killed while it replaced a result: the old one is put back, or what was
/// the user's own in it moved to the new.
fn settle(folder: &Path, name: &str) -> anyhow::Result<()> {
    let (old, place) = (old_of(folder, name), folder.join(name));
    if !old.exists() {
        return Ok(());
    }
    if place.exists() {
        return retire(&old, &place);
    }
    fs::rename(&old, &place).with_context(|| old.display().to_string())
}

/// Removes a replaced result; files that are not of our making go to the new one.
fn retire(old: &Path, place: &Path) -> anyhow::Result<()> {
    let at = |path: &Path| path.display().to_string();
    for entry in fs::read_dir(old).with_context(|| at(old))? {
        let entry = entry.with_context(|| at(old))?;
        let name = entry.file_name();
        let to = place.join(&name);
        if !name.to_str().is_some_and(is_ours) && !to.exists() {
            fs::rename(entry.path(), &to).with_context(|| at(&to))?;
        }
    }
    fs::remove_dir_all(old).with_context(|| at(old))
}

/// Is this the name of a file that a result has?
pub(super) fn is_ours(name: &str) -> bool {
    let ranked = |name: &str| {
        let (number, kind) = name.strip_prefix("rank_")?.split_once('.')?;
        let kinds = ["pdb", "cif", "scores.json", "pae.json"];
        Some(kinds.contains(&kind) && number.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(name, "summary.json" | "report.html") || ranked(name) == Some(true)
}

/// Makes `part` if need be, and locks it. `None` where folders cannot be opened.
fn lock(part: &Path) -> anyhow::Result<Option<File>> {
    if !cfg!(unix) {
        fs::create_dir_all(part).with_context(|| part.display().to_string())?;
        return Ok(None);
    }
    let open = |part: &Path| fs::create_dir_all(part).and_then(|()| File::open(part));
    disk::lock(part, "is at work on this target", open).map(Some)
}

impl Draft {
    /// Begins `folder/.NAME.partial`; what a run that was killed left in it is removed.
    ///
    /// # Errors  if another run is at work on it, or the file system's.
    pub fn begin(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let part = part_of(folder, name);
        let lock = lock(&part)?;
        let at = |path: &Path| path.display().to_string();
        for entry in fs::read_dir(&part).with_context(|| at(&part))? {
            let path = entry.with_context(|| at(&part))?.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| at(&path))?;
        }
        settle(folder, name)?;
        let files = RefCell::new(Map::new());
        Ok(Self { part, place: folder.join(name), files, _lock: lock, finished: false })
    }

    /// Adds a file.
    pub fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        disk::write(&self.part.join(name), content.as_bytes())?;
        let known = json!({"bytes": content.len(), "sha256": sha256_of(content.as_bytes())});
        self.files.borrow_mut().insert(name.to_string(), known);
        Ok(())
    }

    /// Adds `summary.json`, with the names, sizes and hashes of all other files under `files`.
    pub fn write_summary(&self, summary: &mut Value) -> anyhow::Result<()> {
        summary["files"] = Value::Object(self.files.borrow().clone());
        disk::write(
            &self.part.join("summary.json"),
            (serde_json::to_string_pretty(&summary)? + "\n").as_bytes(),
        )
    }

    /// Puts the folder in its place; a result that is there already is replaced.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let old = self.part.with_extension("old");
        let at = |path: &Path| path.display().to_string();
        let replaces = self.place.exists();
        if replaces {
            fs::rename(&self.place, &old).with_context(|| at(&self.place))?;
        }
        fs::rename(&self.part, &self.place).with_context(|| at(&self.place))?;
        self.finished = true;
        if let Some(folder) = self.place.parent().and_then(|f| File::open(f).ok()) {
            // The names, too, outlive a power cut; where folders cannot be synced there is nothing to do.
            let _ = folder.sync_all();
        }
        if replaces { retire(&old, &self.place) } else { Ok(()) }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished {
            // The error that ended the run is the one to report.
            let _ = fs::remove_dir_all(&self.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_folder_leaves_nothing_and_keeps_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            let draft = Draft::begin(folder.path(), "t").unwrap();
            draft.write("a", text).unwrap();
            draft
        };
        write("one").finish().unwrap();
        drop(write("two"));
        assert_eq!(fs::read_to_string(folder.path().join("t/a")).unwrap(), "one");
        write("three").finish().unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("t/a")).unwrap(), "three");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_the_users_own_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (place, old) = (folder.path().join("t"), folder.path().join(".t.old"));
        let replace = || {
            let draft = Draft::begin(folder.path(), "t").unwrap();
            draft.write("rank_001.pdb", "new").unwrap();
            draft.finish().unwrap();
        };
        replace();
        for name in ["rank_002.pdb", "notes.txt", "rank_001.relaxed.pdb"] {
            fs::write(place.join(name), "mine").unwrap();
        }
        fs::create_dir(place.join("docking")).unwrap();
        replace();
        let names = || {
            let names = fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        };
        let all = ["docking", "notes.txt", "rank_001.pdb", "rank_001.relaxed.pdb"];
        assert_eq!(names(), all);
        // Killed between the two renames: the old result comes back. Killed after them: it is cleared away.
        fs::rename(&place, &old).unwrap();
        settle(folder.path(), "t").unwrap();
        assert_eq!(names(), all);
        fs::create_dir(&old).unwrap();
        fs::write(old.join("more.txt"), "mine").unwrap();
        settle(folder.path(), "t").unwrap();
        assert!(names().contains(&"more.txt".to_string()) && !old.exists());
    }

    #[cfg(unix)]
    #[test]
    fn two_runs_do_not_share_a_draft() {
        let folder = tempfile::tempdir().unwrap();
        let first = Draft::begin(folder.path(), "t").unwrap();
        first.write("a", "one").unwrap();
        let refused = Draft::begin(folder.path(), "t").err().unwrap().to_string();
        assert!(refused.contains("another run"), "{refused}");
        first.finish().unwrap();
        assert!(Draft::begin(folder.path(), "t").is_ok());
        assert_eq!(fs::read_to_string(folder.path().join("t/a")).unwrap(), "one");
    }
}
