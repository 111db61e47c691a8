//! What can go wrong in the network.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be read or does not make sense.
    #[error("configuration: {0}")]
    Config(String),
    /// Parameters do not fit the configuration.
    #[error(transparent)]
    Params(#[from] nn::Error),
    /// A tensor operation failed: a shape that does not fit.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// The features do not fit the configuration.
    #[error("features: {0}")]
    Features(String),
    /// Stopped by the caller.
    #[error("stopped")]
    Stopped,
}
