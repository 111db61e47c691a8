//! What `foldry fold` does with one target after another: weights, plan, network, files.

mod choose;
mod draft;
mod mapping;
mod network;
mod outputs;
mod progress;
mod receipt;
mod target;
mod templates;

pub use choose::{Source, choose, preset_of};
pub use network::Network;
pub use receipt::{Settings, sha256};
pub use target::{Fate, Run, fold_target};
pub use templates::read as read_templates;
