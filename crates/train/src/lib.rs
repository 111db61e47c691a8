//! One trainer for every model: order, loop, optimizer, schedules, averages, checkpoints, metrics.
//!
//! A model is a [`Task`] that gives the loss of one prepared sample; samples come from a [`DataSource`] in an [`Order`], which is a
//! pure function of a position; what is drawn comes from an [`RngKey`], which is one of seed, step and sample. So a run is
//! resumed by a number, to the bit. [`run`] does the rest.
//!
//! **Invariant:** knows no model.

mod adamw;
pub mod checkpoint;
mod collective;
mod config;
mod error;
mod gradients;
mod layout;
mod order;
mod philox;
mod prefetch;
mod run;
mod schedule;
mod step;
mod tally;
mod task;
mod track;
mod weights;

// Ranks for tests, which integration tests use, too.
#[cfg(test)]
extern crate self as train;
#[cfg(test)]
#[path = "../tests/all/threads.rs"]
mod threads;

pub use collective::{Collective, Single, agree, join};
pub use config::{Matrices, TrainConfig};
pub use error::{BoxError, Error, Result};
pub use order::{Order, Permutation, Weighted, digest};
pub use philox::{RngKey, Stream, philox4x32};
pub use run::{Summary, run};
pub use schedule::{Decay, Schedule};
pub use task::{Backward, DataSource, LossOut, StepCtx, Task, Validation};
pub use track::{Jsonl, Progress, TensorBoard, Tracker};
pub use weights::Weights;
