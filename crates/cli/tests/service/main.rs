//! `foldry serve` from outside: real processes, real HTTP, real kills.
//!
//! Long runs are the same tests with other counts, see `tests/service/run.sh`.

mod audit;
mod churn;
mod client;
mod clock;
mod disk;
mod end_to_end;
mod failpoint;
mod load;
mod memory;
mod postgres;
mod server;

use std::path::{Path, PathBuf};

/// A path of the repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A count from the environment.
fn count(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {text}"))
    })
}
