//! One subcommand a file: `Args` says what it takes, `run` does it.

pub mod weights;
