//! The AlphaFold2 monomer network: embedders, Evoformer, structure module, heads, recycling.
//!
//! One algorithm a file (docs/algorithms.md has the numbers). A [`Model`] is a pure function of its
//! parameters and a [`features::FeatureSet`]. Shapes are written `[s, r, c]`: s sequences, r residues.
//!
//! **Invariant:** no file or network I/O.

mod attention;
mod confidence;
mod config;
mod convert;
mod dropout;
mod error;
mod evoformer;
mod frames;
mod heads;
mod input;
mod ipa;
mod layers;
mod model;
pub mod names;
mod outputs;
mod pair_stack;
#[cfg(test)]
mod parity;
mod predict;
mod recycling;
mod segments;
mod structure_module;
mod taps;
mod template;
mod torsion_rows;

pub use confidence::{expected_aligned_error, plddt, predicted_tm, self_distance_change};
pub use config::Config;
pub use dropout::{Draw, Dropout};
pub use error::Error;
pub use evoformer::{Block, Stack};
pub use model::Model;
pub use outputs::{Outputs, Prediction, Previous};
pub use predict::{PassDone, PredictOptions, Step};
pub use structure_module::StructureOutput;
pub use taps::Taps;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
