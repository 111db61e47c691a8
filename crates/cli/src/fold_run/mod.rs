//! What `foldry fold` does with one target after another: weights, plan, network, files.

mod choose;
mod draft;
mod facts;
mod mapping;
mod network;
mod outputs;
mod progress;
mod receipt;
mod settings;
mod target;
mod templates;

pub use choose::{Source, choose, preset_of};
pub use network::Network;
pub use progress::{Console, Listener};
pub use receipt::sha256_of;
pub use settings::{Wanted, settle};
pub use target::{Fate, Run, fold_target};
pub use templates::{Template, given as read_given, read as read_templates};
