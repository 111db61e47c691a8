//! What `foldry serve` and `foldry worker` do: settings, store, folding children, and the end.

mod child;
mod crew;
#[cfg(debug_assertions)]
mod failpoint;
mod given;
mod logs;
mod places;
mod serve;
mod settings;
mod stop;
mod traces;
mod upkeep;
mod worker;

pub use child::{Offer, fold_for_a_server};
pub use given::Given;
pub use serve::serve;
pub use settings::{Settings, keys_file};
pub use worker::work;
