//! What a folding job is: its order, what is told meanwhile, its product; and the supervisor that has it done.
//!
//! Whoever accepts jobs stores an [`Order`] as a job's request; a child process folds it, telling [`Progress`]; its files
//! become blobs, and a [`Product`] the job's result. These types are what the database, the pipe and HTTP carry.
//!
//! **Invariant:** knows no HTTP and no tensors. Only the child computes, so that nothing it does can end the server.

mod attempt;
mod engine;
mod files;
mod keeper;
mod launch;
mod order;
pub mod pipe;
mod product;
mod progress;
mod supervisor;
mod verdict;
mod words;

pub use engine::{Engine, Model};
pub use launch::{Launch, describe};
pub use order::{Alignment, Options, Order, Template};
pub use product::{Item, Product, Ranked};
pub use progress::Progress;
pub use supervisor::{Supervisor, Times, Wish};
