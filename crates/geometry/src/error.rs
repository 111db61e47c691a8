//! What can be wrong with structures that are to be compared.

/// Why two structures cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too few points for a superposition or an alignment.
    #[error("{what}: expected at least {least} residues with a CA atom, found {found}")]
    TooFew {
        /// Which structure or set of points.
        what: &'static str,
        /// The smallest usable number.
        least: usize,
        /// How many there are.
        found: usize,
    },
    /// A structure larger than the alignment's quadratic memory should be asked to hold.
    #[error("{what}: expected at most {most} residues, found {found}")]
    TooMany {
        /// Which structure.
        what: &'static str,
        /// The limit.
        most: usize,
        /// How many there are.
        found: usize,
    },
    /// A coordinate that is not a number, or too far out for distances to mean anything.
    #[error("{what}: residue {index}: expected coordinates within 1e6 Å, found {found}")]
    Coordinate {
        /// Which structure.
        what: &'static str,
        /// Residue, counted from 1 as given.
        index: usize,
        /// The coordinate.
        found: f64,
    },
}
