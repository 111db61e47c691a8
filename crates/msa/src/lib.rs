//! Sequences and alignments as people have them: FASTA, A3M and Stockholm, plain, gzipped or zstd.
//!
//! [`input::load`] turns paths into [`Target`]s (one chain to fold each, with what had to be changed
//! in its input), [`a3m::parse`] and [`stockholm::parse`] turn bytes into an [`Msa`], and [`depth`]
//! measures one.
//!
//! **Invariant:** knows letters and files, never tensors or the network.

pub mod a3m;
mod alignment;
mod decompress;
pub mod depth;
mod error;
mod fasta;
#[cfg(test)]
mod golden;
pub mod input;
mod limits;
#[cfg(test)]
mod mutate;
mod name;
mod note;
mod residues;
pub mod stockholm;
mod target;
mod text;

pub use alignment::{Deletion, Msa};
pub use error::{Error, Place};
pub use input::{Loaded, Unread, load, load_alignment, load_with, parse, read};
pub use limits::Limits;
pub use note::{Change, Note};
pub use target::Target;
