//! The routes, one subject a file.

pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod input;
pub(crate) mod inputs;
pub(crate) mod jobs;
pub(crate) mod parameters;
pub(crate) mod read;
pub(crate) mod result;
