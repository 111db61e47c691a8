//! One subcommand a file: `Args` says what it takes, `run` does it.

pub mod bench;
pub mod cancel;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod fold;
pub mod fold_child;
pub mod forward;
pub mod keys;
pub mod result;
pub mod score;
pub mod serve;
pub mod status;
pub mod submit;
pub mod train;
pub mod watch;
pub mod weights;
pub mod worker;
