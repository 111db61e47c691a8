//! Templates: known structures, aligned to the query.

mod align;
mod extract;
mod raw;

pub use extract::{TemplateLimits, TemplateReport, TemplateSource, from_structures};
pub use raw::RawTemplates;
