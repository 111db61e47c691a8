//! What can go wrong with parameters and tensors.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed inside candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The parameters do not fit the network; both sides are listed.
    #[error("{0}")]
    Params(String),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
