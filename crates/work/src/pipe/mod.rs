//! The pipe between the supervisor and a folding child: lines of JSON, orders down, what is told up.
//!
//! The child reads its standard input and writes its standard output; its standard error goes where the server's goes.
//! A child whose input ends has lost its server and ends at once.

mod child;
mod lines;

pub use child::{Failure, Folder, Told, serve};
pub(crate) use lines::Lines;

use crate::{Engine, Order, Progress, Ranked};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the supervisor says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Command {
    /// Fold this.
    Fold(Box<Task>),
    /// Stop folding it, and say so; at other times nothing.
    Stop,
}

/// An order with its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// What to fold.
    pub order: Order,
    /// Holds the alignment as `alignment.a3m`, template number n, from 1, as `template_n`.
    pub inputs: PathBuf,
    /// An empty folder for the files of the result.
    pub output: PathBuf,
}

impl Task {
    /// Where the alignment lies.
    pub fn alignment(&self) -> Option<PathBuf> {
        self.order.alignment.as_ref().map(|_| self.inputs.join("alignment.a3m"))
    }

    /// Where the templates lie, in their order.
    pub fn templates(&self) -> Vec<PathBuf> {
        (1..=self.order.templates.len()).map(|n| self.inputs.join(format!("template_{n}"))).collect()
    }
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum Said {
    /// It can fold; said once, first.
    Ready(Engine),
    /// How far it is.
    Progress {
        /// The thing told.
        told: Progress,
    },
    /// All files are written.
    Done(Made),
    /// It did not come to a result, and is ready for the next order.
    Failed(Failure),
    /// It stopped because it was told to.
    Stopped,
}

/// A result, whose files lie in the task's output folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The model's name.
    pub model: String,
    /// Its parameters.
    pub weights_sha256: String,
    /// The device's name.
    pub device: String,
    /// Predictions, the best first.
    pub ranking: Vec<Ranked>,
}
