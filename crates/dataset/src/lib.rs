//! Experimental structures and their alignments in one compact file, for training and evaluation.
//!
//! [`Dataset::open`] maps a `.foldset` file (or its parts) and gives single chains by number; the index
//! of all chains ([`Entry`]) is in memory. [`Writer`] makes such files, [`ingest`] fills them from folders
//! of structures and alignments. The format is described in docs/formats.md.
//!
//! **Invariant:** knows structures, alignments and their file, never features, tensors or the network.

mod chain;
mod cursor;
mod date;
mod entry;
mod error;
mod file;
pub mod ingest;
mod leaks;
mod read;
pub mod record;
#[cfg(test)]
mod sample;
mod sampling;
mod stats;
mod write;

pub use chain::Chain;
pub use date::Date;
pub use entry::{Entry, Kind, Split};
pub use error::Error;
pub use file::name::{exists, report as report_path};
pub use leaks::Leak;
pub use read::Dataset;
pub use sampling::weights;
pub use stats::{Bin, Counts, Stats, stats};
pub use write::{Prepared, Writer, Written};
