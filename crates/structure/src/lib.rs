//! PDB, mmCIF and ModelCIF, in and out: the only place that knows those formats.
//!
//! Reading gives protein chains in atom37 layout with their full sequences, as AlphaFold's
//! template code wants them ([`read`], [`Chain::full_sequence`]); writing takes a [`Prediction`] and
//! prints it ([`write_pdb`], [`write_modelcif`]). Works on bytes: no files, no network, no decompression.
//! Coordinates are Å throughout.

mod error;
mod model;

pub use error::{Error, Place};
pub use model::{
    Chain, Format, Limits, Monomer, Position, PredictedChain, Prediction, Provenance, Residue, Structure,
};
