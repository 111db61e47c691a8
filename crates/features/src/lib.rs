//! AlphaFold2's monomer features: from a sequence, its alignments and templates to what the network reads.
//!
//! [`RawFeatures`] hold what AlphaFold calls the feature dictionary before processing; [`process`] turns them
//! into a [`FeatureSet`], one [`ModelInput`] for each ensemble member of each recycle. Everything is a pure
//! function of (input, configuration, seed): the seed drives TensorFlow's Philox generator, so the rows
//! that are sampled, masked and clustered are AlphaFold's own. (see docs/architecture.md)

mod assemble;
mod atoms;
mod clusters;
mod config;
mod error;
mod fit;
mod input;
mod log;
mod masking;
mod named;
mod philox;
mod pipeline;
mod presets;
mod raw;
mod sampling;
mod set;
pub mod templates;

pub use config::{BlockDeletion, CommonConfig, EvalConfig, FeatureConfig, MaskedMsa};
pub use error::Error;
pub use input::{AtomMaps, ModelInput, TemplateInput};
pub use named::FeatureArray;
pub use pipeline::process;
pub use raw::{Duplicates, RawFeatures};
pub use set::FeatureSet;
pub use templates::RawTemplates;
