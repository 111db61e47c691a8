//! Tensors, layers and fused operations; weight files. Knows no biology.
//!
//! candle-core gives tensors, views and the tape. What is hot is ours: every file in [`ops`] is one
//! operation with a plain differentiable reference, a fused CPU forward and a backward.
//!
//! **Invariant:** the only crate with `unsafe`, and the only one that may touch CUDA.

mod added;
pub mod cpu;
pub mod cuda;
mod error;
pub mod files;
mod fused;
pub mod ops;
mod params;
mod place;
mod segments;

pub use error::{Error, Result};
pub use fused::{Fused, Leaves, Update, reference_backward};
pub use params::Params;
pub use place::{Place, Source};
pub use segments::Segments;
