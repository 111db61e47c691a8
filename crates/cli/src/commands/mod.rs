//! One subcommand a file: `Args` says what it takes, `run` does it.

pub mod bench;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod fold;
pub mod fold_child;
pub mod forward;
pub mod keys;
pub mod score;
pub mod serve;
pub mod train;
pub mod weights;
pub mod worker;
