//! (see docs/architecture.md)

pub mod names;
