//! Alignments in A3M, one after another, each ended by a NUL byte; the first header is the chain's id.

use super::read;
use crate::{Chain, Error};
use msa::Limits;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// All alignments of a set, decompressed, by id.
pub(super) struct Alignments {
    files: Vec<(String, Vec<u8>)>,
    places: HashMap<String, (usize, Range<usize>)>,
}

impl Alignments {
    /// Files `*.a3m.zst`, `*.a3m.gz` or `*.a3m` of a folder; none if the folder is not there.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut all = Self { files: Vec::new(), places: HashMap::new() };
        if !folder.is_dir() {
            return Ok(all);
        }
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let path = entry.map_err(Error::io(folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if [".a3m", ".a3m.zst", ".a3m.gz"].iter().any(|e| name.ends_with(e)) {
                paths.push(path);
            }
        }
        paths.sort();
        for path in paths {
            all.add(path.display().to_string(), read(&path)?)?;
        }
        Ok(all)
    }

    fn add(&mut self, file: String, bytes: Vec<u8>) -> Result<(), Error> {
        let mut start = 0;
        for alignment in bytes.split(|&b| b == 0) {
            let range = start..start + alignment.len();
            start = range.end + 1;
            if alignment.trim_ascii().is_empty() {
                continue;
            }
            let header = alignment.trim_ascii_start().strip_prefix(b">");
            let id = header.and_then(|h| h.split(u8::is_ascii_whitespace).next()).filter(|id| !id.is_empty());
            let id = id.map(|id| String::from_utf8_lossy(id).into_owned()).ok_or_else(|| {
                Error::source(format!("{file}: byte {}", range.start), "expected `>` and a chain's id")
            })?;
            if let Some((twin, _)) = self.places.insert(id.clone(), (self.files.len(), range)) {
                let twin = self.files.get(twin).map_or(&file, |f| &f.0);
                return Err(Error::source(&file, format!("two alignments of {id}, the other in {twin}")));
            }
        }
        self.files.push((file, bytes));
        Ok(())
    }

    /// Gives a chain its alignment, if there is one that fits; else a note why not.
    pub fn attach(&self, id: &str, chain: &mut Chain) -> Option<String> {
        let (file, range) = self.places.get(id)?;
        let (file, bytes) = self.files.get(*file)?;
        let parsed = msa::a3m::parse(file, bytes.get(range.clone())?, &Limits::default());
        let msa = match parsed {
            Ok((msa, _)) => msa,
            Err(error) => return Some(format!("alignment left out: {error}")),
        };
        if msa.query() != chain.sequence.as_bytes() {
            return Some(format!(
                "alignment left out: {file}: expected the chain's sequence first, found another"
            ));
        }
        if msa.rows() > 1 {
            chain.msa = Some(msa);
        }
        None
    }
}
