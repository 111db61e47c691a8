//! Making a dataset: sources give jobs, jobs give chains, filters judge them, the writer takes the rest.
//!
//! Jobs run on all threads and their results are taken in order, so the file is the same on any number of
//! them. What cannot be read or is refused is reported and stops nothing.

mod clusters;
mod filters;
mod folder;
mod packed;
mod report;
mod splits;
mod structures;
mod table;
#[cfg(test)]
mod tests;

pub use clusters::Clusters;
pub use filters::Filters;
pub use folder::{Alignments, Folder, has_alignments, has_structures};
pub use packed::{Packed, is_packed};
pub use report::{Reason, Refused, Report};
pub use splits::{Row, Splits};

use crate::leaks::Holders;
use crate::{Chain, Date, Entry, Error, Prepared, Split, Writer};
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A chain as a source gives it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name.
    pub id: String,
    /// File, or part of a packed set.
    pub source: String,
    /// Sequence, coordinates, alignment.
    pub chain: Chain,
    /// Å, where known.
    pub resolution: Option<f32>,
    /// Release or deposition, where known.
    pub date: Option<Date>,
    /// What should be known about it though it is kept.
    pub notes: Vec<String>,
}

/// Some work on another thread: read a file, give its chains.
pub type Job = Box<dyn FnOnce() -> Vec<Result<Found, Refused>> + Send>;

/// Something chains come from.
pub trait Source {
    /// Jobs it will give, as far as known.
    fn jobs(&self) -> usize;
    /// The next one; `None` at the end.
    ///
    /// # Errors
    /// What makes the rest of the source unusable.
    fn next(&mut self) -> Option<Result<Job, Error>>;
}

/// Who is told how far the work is, and may stop it.
pub trait Watch: Sync {
    /// Called on any thread with the jobs done of all.
    fn progress(&self, done: usize, of: usize);
    /// Shall the work stop?
    fn stopped(&self) -> bool;
}

/// Nobody watches.
impl Watch for () {
    fn progress(&self, _: usize, _: usize) {}
    fn stopped(&self) -> bool {
        false
    }
}

/// What becomes of chains.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Which are good enough.
    pub filters: Filters,
    /// Cluster and split by id. Without any, all are training chains of their own clusters.
    pub splits: Splits,
    /// Chains that `splits` does not name are training chains; else they are refused. A table that lists only
    /// held-out chains wants this, one that lists all chains does not.
    pub unlisted_train: bool,
    /// Clusters by id, before those of `splits`.
    pub clusters: Clusters,
}

/// Jobs that are in memory together.
const BATCH: usize = 256;

/// Reads all sources into `writer`. A chain whose sequence is in another split too stays in one alone: test
/// before val before train.
///
/// # Errors
/// What the writer or a source says; refused chains are in the report instead. `Ok(None)` if it was stopped.
pub fn ingest(
    sources: &mut [Box<dyn Source>],
    settings: &Settings,
    writer: &mut Writer,
    watch: &dyn Watch,
) -> Result<Option<Report>, Error> {
    let mut report = Report::default();
    let mut seen: HashMap<String, String> = HashMap::new();
    let done = AtomicUsize::new(0);
    let all: usize = sources.iter().map(|s| s.jobs()).sum();
    for source in sources {
        while !watch.stopped() {
            let batch = (0..BATCH).map_while(|_| source.next()).collect::<Result<Vec<Job>, Error>>()?;
            if batch.is_empty() {
                break;
            }
            let finish = |job: Job| -> Vec<Result<_, Refused>> {
                let found = if watch.stopped() { Vec::new() } else { job() };
                let results = found.into_iter().map(|f| finished(f?, settings)).collect();
                watch.progress(done.fetch_add(1, Ordering::Relaxed) + 1, all);
                results
            };
            let results: Vec<_> = batch.into_par_iter().map(finish).collect();
            for result in results.into_iter().flatten() {
                let (prepared, notes) = match result {
                    Ok(kept) => kept,
                    Err(refused) => {
                        report.refused.push(refused);
                        continue;
                    }
                };
                let Entry { id, source, .. } = prepared.entry().clone();
                if let Some(first) = seen.get(&id) {
                    let what = format!("there is a chain of this id already, from {first}");
                    report.refused.push(Refused::new(&id, &source, Reason::SameId, what));
                    continue;
                }
                report.notes.extend(notes.into_iter().map(|note| (id.clone(), note)));
                seen.insert(id, source);
                writer.add(prepared)?;
            }
        }
    }
    if watch.stopped() {
        return Ok(None);
    }
    report.refused.extend(separate(writer));
    report.kept = writer.len();
    Ok(Some(report))
}

/// Gives a chain its cluster and split and makes its record, or says why not.
fn finished(found: Found, settings: &Settings) -> Result<(Prepared, Vec<String>), Refused> {
    let refuse = |reason, what| Err(Refused::new(&found.id, &found.source, reason, what));
    let row = settings.splits.get(&found.id);
    if row.is_none() && !settings.splits.is_empty() && !settings.unlisted_train {
        return refuse(Reason::NotInSplit, "the split table does not name it".to_string());
    }
    if let Some((reason, what)) = settings.filters.refuse(&found) {
        return refuse(reason, what);
    }
    let prepared = match Prepared::new(&found.id, &found.source, &found.chain) {
        Ok(prepared) => prepared,
        Err(error) => return refuse(Reason::Unreadable, error.to_string()),
    };
    let cluster = settings.clusters.get(&found.id).or(row.map(|r| r.cluster.as_str())).unwrap_or(&found.id);
    let (split, alone) = row.map_or((Split::Train, false), |r| (r.split, r.no_train_homolog));
    let prepared = prepared.with_split(cluster, split, alone).with_origin(found.resolution, found.date);
    Ok((prepared, found.notes))
}

/// Takes chains out whose sequence another split has.
fn separate(writer: &mut Writer) -> Vec<Refused> {
    let mut holders = Holders::default();
    writer.entries().enumerate().for_each(|(i, e)| holders.add(i, e));
    let names: Vec<(String, Split)> = writer.entries().map(|e| (e.id.clone(), e.split)).collect();
    let removed = writer.retain(|entry| holders.other(entry).is_none());
    let refuse = |entry: Entry| {
        let (other, split) = holders.other(&entry).map(|i| names[i].clone()).unwrap_or_default();
        let what = format!("it is in {}, and {other} in {split} has its sequence", entry.split);
        Refused::new(&entry.id, &entry.source, Reason::HeldOut, what)
    };
    removed.into_iter().map(refuse).collect()
}
