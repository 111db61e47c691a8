//! Making a dataset: sources give jobs, jobs give chains, filters judge them, the writer takes the rest.
//!
//! Jobs run on all threads and their results are taken in order, so the file is the same on any number of
//! them. What cannot be read or is refused is reported and stops nothing.

mod packed;
mod report;
mod splits;
mod structures;
mod table;

pub use packed::{Packed, is_packed};
pub use report::{Reason, Refused, Report};
pub use splits::{Row, Splits};

use crate::{Chain, Date, Error, Prepared, Split, Writer};
use rayon::prelude::*;
use std::collections::HashMap;

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
pub trait Watch {
    /// Called now and then with the jobs done of all.
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

/// Jobs that are in memory together.
const BATCH: usize = 256;

/// Reads all sources into `writer`.
///
/// # Errors
/// What the writer or a source says; refused chains are in the report instead. `Ok(None)` if it was stopped.
pub fn ingest(
    sources: &mut [Box<dyn Source>],
    splits: &Splits,
    writer: &mut Writer,
    watch: &dyn Watch,
) -> Result<Option<Report>, Error> {
    let mut report = Report::default();
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut done = 0;
    let all: usize = sources.iter().map(|s| s.jobs()).sum();
    for source in sources {
        loop {
            if watch.stopped() {
                return Ok(None);
            }
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH {
                match source.next() {
                    Some(job) => batch.push(job?),
                    None => break,
                }
            }
            if batch.is_empty() {
                break;
            }
            done += batch.len();
            let finish = |job: Job| -> Vec<_> { job().into_iter().map(|f| finished(f?, splits)).collect() };
            let results: Vec<_> = batch.into_par_iter().map(finish).collect();
            for result in results.into_iter().flatten() {
                match result {
                    Err(refused) => report.refused.push(refused),
                    Ok((prepared, notes)) => {
                        let entry = prepared.entry();
                        if let Some(first) = seen.get(&entry.id) {
                            let what = format!("there is a chain of this id already, from {first}");
                            report.refused.push(Refused::new(&entry.id, &entry.source, Reason::SameId, what));
                            continue;
                        }
                        seen.insert(entry.id.clone(), entry.source.clone());
                        report.notes.extend(notes.into_iter().map(|note| (entry.id.clone(), note)));
                        report.kept += 1;
                        writer.add(prepared)?;
                    }
                }
            }
            watch.progress(done, all);
        }
    }
    Ok(Some(report))
}

/// Gives a chain its split and makes its record.
fn finished(found: Found, splits: &Splits) -> Result<(Prepared, Vec<String>), Refused> {
    let Found { id, source, chain, resolution, date, notes } = found;
    let own = Row { cluster: id.clone(), split: Split::Train, no_train_homolog: false };
    let row = match splits.get(&id) {
        Some(row) => row,
        None if splits.is_empty() => &own,
        None => {
            let what = "the split table does not have it".to_string();
            return Err(Refused::new(&id, &source, Reason::NotInSplit, what));
        }
    };
    let prepared = Prepared::new(&id, &source, &chain)
        .map_err(|e| Refused::new(&id, &source, Reason::Unreadable, e.to_string()))?;
    let prepared = prepared.with_split(&row.cluster, row.split, row.no_train_homolog);
    Ok((prepared.with_origin(resolution, date), notes))
}
