//! The packed set: tables of chains, coordinates as arrays, structures in one archive, alignments one after
//! another. Its README describes it; any of its three parts may be missing.

mod alignments;
mod allatom;
mod backbone;

use super::{Job, Source};
use crate::Error;
use alignments::Alignments;
use allatom::AllAtom;
use backbone::Backbone;
use std::path::Path;
use std::sync::Arc;

const BACKBONE: &str = "backbone/index.tsv.gz";
const ALLATOM: &str = "allatom/index.tsv";

/// Is that folder a packed set?
pub fn is_packed(folder: &Path) -> bool {
    [BACKBONE, ALLATOM].iter().any(|table| folder.join(table).is_file())
}

/// A packed set as a source of chains.
pub struct Packed {
    backbone: Option<Backbone>,
    allatom: Option<AllAtom>,
    alignments: Arc<Alignments>,
    jobs: usize,
}

impl Packed {
    /// Reads tables, coordinates and alignments into memory (about 0.4 GB for 20,000 chains).
    ///
    /// # Errors
    /// [`Error::Source`] or [`Error::Io`] naming the file.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let alignments = Arc::new(Alignments::read(&folder.join("msas"))?);
        let there = |table: &str| folder.join(table).is_file();
        let backbone = there(BACKBONE).then(|| Backbone::open(&folder.join("backbone"))).transpose()?;
        let allatom = there(ALLATOM).then(|| AllAtom::open(&folder.join("allatom"))).transpose()?;
        let jobs = backbone.as_ref().map_or(0, Backbone::jobs) + allatom.as_ref().map_or(0, AllAtom::jobs);
        Ok(Self { backbone, allatom, alignments, jobs })
    }
}

impl Source for Packed {
    fn jobs(&self) -> usize {
        self.jobs
    }

    fn next(&mut self) -> Option<Result<Job, Error>> {
        if let Some(job) = self.backbone.as_mut().and_then(|b| b.next(&self.alignments)) {
            return Some(Ok(job));
        }
        self.allatom.as_mut().and_then(|a| a.next(&self.alignments))
    }
}

/// A file's bytes, decompressed.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let limits = msa::Limits { ratio: 10_000, ..msa::Limits::default() };
    msa::read(path, &limits).map_err(|e| match e {
        msa::Error::Io { path, source } => Error::Io { path, source },
        other => Error::source(path.display().to_string(), other.to_string()),
    })
}
