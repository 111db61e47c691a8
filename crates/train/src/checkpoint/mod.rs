//! Checkpoints: folders that appear whole or not at all, and are believed only if every byte is as it was written.
//!
//! ```text
//! checkpoints/step-00000500/
//!   state.json            counters, settings, the table of parameters, size and SHA-256 of every file below
//!   state.json.sha256     of state.json, as sha256sum prints it
//!   params-00001.safetensors  …  adam_m-…, adam_v-…, ema-…   f32, at most 16 MiB each
//! best/step-00000400/     the same with ema only: the averaged parameters that validated best
//! ```
//! They do not depend on the number of ranks: state that is kept in shards is gathered for a save.

mod load;
mod parts;
mod save;

pub(crate) use load::load_with_hint;
pub use load::{Checkpoint, intact, latest, load};
pub use save::{prune, save};

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The version of what is written here.
pub const FORMAT: u32 = 1;

/// Name of the file with the counters.
const STATE: &str = "state.json";

/// Name of the file with its checksum.
const STATE_SUM: &str = "state.json.sha256";

/// Vectors a checkpoint holds, by the stem of their files.
pub mod group {
    /// The parameters.
    pub const PARAMS: &str = "params";
    /// AdamW's mean of the gradient.
    pub const MEAN: &str = "adam_m";
    /// AdamW's mean of its square.
    pub const SQUARE: &str = "adam_v";
    /// The averaged parameters.
    pub const EMA: &str = "ema";
}

/// Everything about a run that is not a vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`FORMAT`].
    pub format: u32,
    /// Finished steps.
    pub step: u64,
    /// The next position of the order.
    pub position: u64,
    /// Samples whose gradient was used.
    pub samples_seen: u64,
    /// Samples that could not be used.
    pub skipped: u64,
    /// Updates of the parameters: fewer than steps if all samples of a step were skipped.
    pub updates: u64,
    /// Updates the averaged parameters have seen.
    pub ema_n: u64,
    /// The best validation so far.
    pub best: Option<Best>,
    /// The order's hash.
    pub order_hash: u64,
    /// Hash of `config`.
    pub config_hash: String,
    /// The settings that may not change.
    pub config: BTreeMap<String, Value>,
    /// Names and shapes of the parameters, in the order of the vectors.
    pub parameters: Vec<Parameter>,
    /// The files beside this one.
    pub files: Vec<Part>,
}

/// A validation that was the best of its time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// After how many steps.
    pub step: u64,
    /// Its score.
    pub score: f64,
}

/// A parameter's name and shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Parameter {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name, without folder.
    pub name: String,
    /// The vector it belongs to.
    pub group: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// The name of the folder for `step`.
fn folder_name(step: u64) -> String {
    format!("step-{step:08}")
}

/// The step of a folder's name; none for temporary folders and strangers.
fn step_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_prefix("step-")?;
    let step = digits.parse().ok()?;
    (folder_name(step) == format!("step-{digits}")).then_some(step)
}

/// All checkpoints in `folder`, oldest first; none if there is no such folder.
///
/// # Errors  If it cannot be listed.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(folder))?.path();
        if let Some(step) = step_of(&path) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
