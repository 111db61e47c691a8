//! Templates: known structures, aligned to the query.

mod raw;

pub use raw::RawTemplates;
