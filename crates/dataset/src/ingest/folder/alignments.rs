//! Alignments by chain, in any of the usual layouts.
//!
//! - `FOLDER/1abc_A.a3m`: one file a chain.
//! - `FOLDER/1abc_A/uniref90_hits.sto`, `…/bfd_uniclust_hits.a3m`: OpenFold's `alignment_dir`.
//! - `FOLDER/pdb/1abc_A/a3m/uniref90.a3m`: OpenProteinSet.
//!
//! So a file belongs to a chain if it, or a folder it is in, has the chain's name.

use super::walk::{stem, walk};
use crate::record::alignment::join;
use crate::{Chain, Error};
use msa::{Limits, Msa};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Alignment files by the chains they belong to.
#[derive(Clone, Debug)]
pub struct Alignments {
    by_name: HashMap<String, Vec<PathBuf>>,
    max_rows: usize,
}

impl Default for Alignments {
    fn default() -> Self {
        Self { by_name: HashMap::new(), max_rows: 16_384 }
    }
}

impl Alignments {
    /// Of a chain's rows at most the first `max_rows` are kept, the query included.
    pub fn new(max_rows: usize) -> Self {
        Self { max_rows: max_rows.max(1), ..Self::default() }
    }

    /// Adds the alignments of a folder and the folders below it.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read, [`Error::Source`] if there is no alignment in it.
    pub fn add_folder(&mut self, folder: &Path) -> Result<(), Error> {
        let found = walk(folder)?.alignments;
        if found.is_empty() {
            let what = "expected alignments (.a3m, .sto, also .gz and .zst), found none";
            return Err(Error::source(folder.display().to_string(), what));
        }
        self.add(found);
        Ok(())
    }

    /// (path, path within its folder)
    pub(super) fn add(&mut self, files: Vec<(PathBuf, String)>) {
        for (path, within) in files {
            let (folders, file) = within.rsplit_once('/').unwrap_or(("", &within));
            let mut names: Vec<String> = folders.split('/').chain([stem(file)]).map(key).collect();
            names.sort();
            names.dedup();
            for name in names.into_iter().filter(|n| !n.is_empty()) {
                self.by_name.entry(name).or_default().push(path.clone());
            }
        }
    }

    /// Is there any for this chain?
    pub(super) fn has(&self, id: &str) -> bool {
        self.by_name.contains_key(&key(id))
    }

    /// Gives a chain its alignment, joined from all its files. What does not fit is left out and told.
    pub(super) fn attach(&self, id: &str, chain: &mut Chain) -> Vec<String> {
        let mut notes = Vec::new();
        let Some(files) = self.by_name.get(&key(id)) else { return notes };
        let mut files: Vec<&PathBuf> = files.iter().filter(|f| !is_template_search(f)).collect();
        files.sort_by_key(|f| (rank(f), *f));
        let mut parts: Vec<Msa> = Vec::new();
        for file in files {
            let wrong = match msa::load_alignment(file, &Limits::default()) {
                Ok((msa, _)) => match fault(&chain.sequence, &msa) {
                    None => {
                        parts.push(msa);
                        continue;
                    }
                    Some(what) => format!("{}: {what}", file.display()),
                },
                Err(error) => error.to_string(),
            };
            notes.push(format!("alignment left out: {wrong}"));
        }
        match join(&chain.sequence, &parts, self.max_rows) {
            Ok(joined) => chain.msa = joined,
            Err(what) => notes.push(format!("alignments left out: {what}")),
        }
        notes
    }
}

/// Archives write PDB ids in either case; chain names differ by case.
fn key(id: &str) -> String {
    match id.rsplit_once('_') {
        Some((entry, chain)) => format!("{}_{chain}", entry.to_ascii_lowercase()),
        None => id.to_ascii_lowercase(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// Hits among structures (`pdb70_hits`, `pdb_hits`, `hmm_output`) are templates, no alignment of AF2's.
fn is_template_search(path: &Path) -> bool {
    let name = file_name(path);
    ["pdb70_", "pdb_hits", "hmm_output"].iter().any(|p| name.starts_with(p))
}

/// Order in which AF2 joins the searches.
fn rank(path: &Path) -> usize {
    let name = file_name(path);
    let searches: [&[&str]; 3] = [&["uniref"], &["bfd", "small_bfd", "uniclust"], &["mgnify"]];
    searches.iter().position(|s| s.iter().any(|p| name.starts_with(p))).unwrap_or(searches.len())
}

/// The query must be the chain's sequence; where either has X the other counts.
fn fault(sequence: &str, msa: &Msa) -> Option<String> {
    if msa.columns() != sequence.len() {
        return Some(format!("expected a query of {} residues, found {}", sequence.len(), msa.columns()));
    }
    let differs = |(a, b): (u8, &u8)| a != *b && a != b'X' && chem::residue::aatype_of_letter(*b).is_some();
    let at = sequence.bytes().zip(msa.query()).position(differs)?;
    let (expected, found) = (sequence.as_bytes()[at] as char, msa.query()[at] as char);
    Some(format!("query, residue {}: expected {expected}, found {found}", at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::chain;

    #[test]
    fn all_layouts_find_their_chain() {
        let mut alignments = Alignments::default();
        for within in ["1abc_A.a3m", "pdb/2ABC_a/a3m/uniref90.a3m", "3abc_B/bfd_hits.sto", "4abc.a3m"] {
            alignments.add(vec![(PathBuf::from(within), within.to_string())]);
        }
        for id in ["1abc_A", "1ABC_A", "2abc_a", "3abc_B", "4abc"] {
            assert!(alignments.has(id), "{id}");
        }
        for id in ["1abc_a", "2abc_A", "3abc", "4abc_A"] {
            assert!(!alignments.has(id), "{id}");
        }
    }

    #[test]
    fn files_of_a_chain_are_joined_in_order_and_bad_ones_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("x_A");
        std::fs::create_dir(&place).unwrap();
        let mut chain = chain(6, 1, false); // types 0, 7, 14, 0 … of 21
        let query = chain.sequence.clone();
        assert_eq!(query, "AGPAGP");
        let write = |name: &str, rows: &str| {
            std::fs::write(place.join(name), format!(">q\n{query}\n{rows}")).unwrap();
        };
        write("mgnify_hits.a3m", ">m\nMMMMMM\n>u\nAGPW--\n");
        write("uniref90_hits.a3m", ">u\nAGPW--\n>v\nAacGPW--\n");
        write("bfd_uniclust_hits.a3m", ">b\nBBBBBB\n");
        write("other.a3m", ">b\nAG\n");
        write("pdb70_hits.a3m", ">t\nTTTTTT\n");
        std::fs::write(place.join("wrong.a3m"), ">q\nAGPAGG\n>a\nCCCCCC\n").unwrap();
        let mut alignments = Alignments::new(3);
        alignments.add_folder(folder.path()).unwrap();
        let notes = alignments.attach("X_A", &mut chain);
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("other.a3m:3: row 2"), "{notes:?}");
        assert!(notes[1].ends_with("wrong.a3m: query, residue 6: expected P, found G"), "{notes:?}");
        let msa = chain.msa.as_ref().unwrap();
        let rows: Vec<&str> = (0..msa.rows()).map(|r| std::str::from_utf8(msa.row(r)).unwrap()).collect();
        // A row that differs in insertions alone is the same row; the limit leaves out mgnify's.
        assert_eq!(rows, ["AGPAGP", "AGPW--", "BBBBBB"]);
        assert!(Alignments::default().add_folder(&folder.path().join("none")).is_err());
    }
}
