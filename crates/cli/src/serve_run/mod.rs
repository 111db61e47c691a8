//! What `foldry serve` and `foldry worker` do: settings, store, folding children, and the end.

mod child;

pub use child::{Offer, fold_for_a_server};
