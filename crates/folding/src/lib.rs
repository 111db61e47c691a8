//! Training and judging the folding network: from a chain of known structure to a loss, and from a prediction to
//! scores.
//!
//! A [`Known`] chain becomes a [`Sample`] (features of every pass, labels), the network's outputs become losses
//! ([`truth`]) or accuracies ([`accuracy`]). AF2 Suppl. 1.11.
//!
//! **Invariant:** opens no file; the same (chain, settings, seed) gives the same sample.

pub mod accuracy;
pub mod baselines;
mod error;
pub mod evaluate;
mod init;
pub mod judge;
mod known;
pub mod lanes;
#[cfg(test)]
mod learns;
mod random;
pub mod recipe;
mod sample;
pub mod source;
pub mod task;
pub mod truth;

pub use error::{Error, Result};
pub use init::initial_parameters;
pub use known::Known;
pub use sample::{Sample, SampleConfig};
