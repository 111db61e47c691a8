//! Folders of structure files, PDB or mmCIF, with alignments beside them or elsewhere.

mod alignments;
mod walk;

pub use alignments::Alignments;

use super::{Found, Job, Reason, Refused, Source, Splits, structures};
use crate::{Date, Error};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder, or a single file, as a source of chains: one for each protein chain of each file.
///
/// A chain is named by its file and its own name (`1abc_A`); the only chain of a file by the file alone, where
/// the file's name already ends so or the split table or the alignments know that name.
pub struct Folder {
    files: std::vec::IntoIter<(PathBuf, String)>,
    shared: Arc<Shared>,
}

/// Is there a structure file in that folder or below it, or is it one?
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read.
pub fn has_structures(path: &Path) -> Result<bool, Error> {
    Ok(!walk::walk(path)?.structures.is_empty())
}

/// The same of alignments.
///
/// # Errors
/// [`Error::Io`] if a folder cannot be read.
pub fn has_alignments(path: &Path) -> Result<bool, Error> {
    Ok(!walk::walk(path)?.alignments.is_empty())
}

/// What all jobs look at.
struct Shared {
    alignments: Alignments,
    splits: Splits,
}

impl Folder {
    /// Looks for structure files in `path` and the folders below it, and for alignments among them; those of
    /// `alignments` come first. `splits` only helps to name chains. An empty folder is a source of nothing.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read.
    pub fn open(path: &Path, mut alignments: Alignments, splits: &Splits) -> Result<Self, Error> {
        let tree = walk::walk(path)?;
        alignments.add(tree.alignments);
        let shared = Arc::new(Shared { alignments, splits: splits.clone() });
        Ok(Self { files: tree.structures.into_iter(), shared })
    }
}

impl Source for Folder {
    fn jobs(&self) -> usize {
        self.files.len()
    }

    fn next(&mut self) -> Option<Result<Job, Error>> {
        let (path, name) = self.files.next()?;
        let shared = self.shared.clone();
        Some(Ok(Box::new(move || chains(&path, &name, &shared))))
    }
}

/// `name` is the path within the source.
fn chains(path: &Path, name: &str, shared: &Shared) -> Vec<Result<Found, Refused>> {
    let refuse = |what: String| vec![Err(Refused::new("", name, Reason::Unreadable, what))];
    let limits = msa::Limits { ratio: 2_000, ..msa::Limits::default() };
    let bytes = match msa::read(path, &limits) {
        Ok(bytes) => bytes,
        Err(error) => return refuse(error.to_string()),
    };
    let read = match structure::read(&bytes, None, &structure::Limits::default()) {
        Ok(read) => read,
        Err(error) => return refuse(format!("{}:{error}", path.display())),
    };
    drop(bytes);
    let stem = walk::stem(name);
    let only = read.chains.len() == 1;
    let date: Option<Date> = read.released.as_deref().and_then(|d| d.parse().ok());
    let found = |of: &structure::Chain| {
        let id = shared.id(stem, &of.id, only);
        let mut chain = structures::chain(of);
        let mut notes = read.notes.clone();
        notes.extend(shared.alignments.attach(&id, &mut chain));
        Ok(Found { id, source: name.to_string(), chain, resolution: read.resolution, date, notes })
    };
    read.chains.iter().map(found).collect()
}

impl Shared {
    fn id(&self, stem: &str, chain: &str, only: bool) -> String {
        let long = format!("{stem}_{chain}");
        let known = |id: &str| self.splits.get(id).is_some() || self.alignments.has(id);
        if only && (stem.ends_with(&format!("_{chain}")) || (known(stem) && !known(&long))) {
            return stem.to_string();
        }
        long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_named_by_file_and_chain() {
        let splits = Splits::parse("s", "id\tcluster\tsplit\nmine\tc\ttrain\n").unwrap();
        let shared = Shared { alignments: Alignments::default(), splits };
        assert_eq!(shared.id("1abc", "A", true), "1abc_A");
        assert_eq!(shared.id("1abc_A", "A", true), "1abc_A");
        assert_eq!(shared.id("1abc_A", "A", false), "1abc_A_A");
        assert_eq!(shared.id("mine", "A", true), "mine");
        assert_eq!(shared.id("mine", "A", false), "mine_A");
    }
}
