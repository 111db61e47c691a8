//! What can be wrong with a chain, a recipe or a step.

/// Why a sample, a loss or a score cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A chain that cannot be learned from.
    #[error("{id}: {what}")]
    Chain {
        /// The chain.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// A setting that makes no sense.
    #[error("{key}: expected {expected}, got {got}")]
    Setting {
        /// Its place.
        key: &'static str,
        /// What it should have been.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Features cannot be made.
    #[error(transparent)]
    Features(#[from] features::Error),
    /// The network refused.
    #[error(transparent)]
    Network(#[from] fold::Error),
    /// A loss cannot be computed.
    #[error(transparent)]
    Loss(#[from] losses::Error),
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
