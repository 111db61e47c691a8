//! AlphaFold2's monomer losses: one file a loss, AlphaFold's numbers, gradients by candle's tape.
//! Suppl. 1.9; constants and reductions as in AlphaFold's `modules.py`, `folding.py`, `all_atom.py`, `lddt.py`.
//!
//! [`Labels`] are plain arrays made once from a structure ([`Labels::derive`]); predictions are tensors. Each loss
//! is a function `(prediction, &Labels, config) -> scalar tensor`; [`total`] adds them with the heads' weights.
//! Everything that carries no gradient (renaming, bins, which atoms clash) is decided on plain numbers first, so
//! that tensors hold present atoms and real violations only.
//!
//! **Invariant:** takes tensors and arrays, never types of the network.

mod ambiguity;
mod backbone;
mod chi;
mod config;
mod distogram;
mod error;
mod fape;
mod labels;
mod masked_msa;
mod ops;
mod pae;
mod plddt;
mod resolved;
mod sidechain;
mod structure;
mod total;
pub mod violations;

pub use ambiguity::{RenamedTruth, rename};
pub use backbone::{BackboneLoss, backbone};
pub use chi::{ChiLoss, chi};
pub use config::{
    DistogramConfig, FapeConfig, LossConfig, MaskedMsaConfig, PaeConfig, PlddtConfig, ResolutionFilter,
    ResolvedConfig, SidechainConfig, StructureConfig,
};
pub use distogram::distogram;
pub use error::{Error, Result};
pub use fape::{Clamp, fape};
pub use labels::{Atom14Truth, ChiTruth, FrameTruth, LabelInputs, Labels, MsaTruth, Rigid};
pub use masked_msa::masked_msa;
pub use pae::predicted_aligned_error;
pub use plddt::{lddt_ca, predicted_lddt};
pub use resolved::experimentally_resolved;
pub use sidechain::sidechain;
pub use structure::{StructureLoss, StructureOutputs, structure_module};
pub use total::{HeadOutputs, Losses, total};
