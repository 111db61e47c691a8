//! What can be wrong with the input of the feature pipeline.

/// Errors of this crate; messages name the place, what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A named array that the network needs is not there.
    #[error("feature `{name}` is missing, expected an array {expected}")]
    Missing {
        /// AlphaFold's name of the array.
        name: String,
        /// The shape it should have, by dimension names and sizes known so far.
        expected: String,
    },
    /// A named array has another shape than the arrays before it imply.
    #[error("feature `{name}`: expected shape {expected}, got {found:?}")]
    Shape {
        /// AlphaFold's name of the array.
        name: String,
        /// The shape it should have.
        expected: String,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A named array holds a value that cannot be meant.
    #[error("feature `{name}`: element {index} is {found}, expected {expected}")]
    Value {
        /// AlphaFold's name of the array.
        name: String,
        /// Position of the element in row-major order.
        index: usize,
        /// The range or kind that is allowed.
        expected: String,
        /// The value, as text.
        found: String,
    },
    /// The samples cannot be shared out evenly over ensemble members.
    #[error("{samples} samples cannot be split into ensembles of {num_ensemble}")]
    Ensemble {
        /// Length of the leading axis.
        samples: usize,
        /// Ensemble members of one recycle.
        num_ensemble: usize,
    },
    /// A setting is out of range or contradicts another.
    #[error("feature configuration: {0}")]
    Config(String),
    /// There is no preset of this name.
    #[error("unknown preset `{name}`, expected one of {known}")]
    Preset {
        /// What was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The query sequence is empty or has a character that is no residue.
    #[error("query sequence: {0}")]
    Sequence(String),
    /// An alignment does not fit the query.
    #[error("alignment {alignment}, row {row}: {what}")]
    Alignment {
        /// Which alignment, from 1.
        alignment: usize,
        /// Which row of it, from 1.
        row: usize,
        /// Expected and found.
        what: String,
    },
    /// Template arrays do not fit the query.
    #[error("template {template}: {what}")]
    Template {
        /// Which template, from 1.
        template: usize,
        /// Expected and found.
        what: String,
    },
}
