//! What can be wrong with labels and predictions.

/// Why a loss cannot be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array or tensor has the wrong shape or length.
    #[error("{name}: expected {expected:?}, got {got:?}")]
    Shape {
        /// The array, by AlphaFold's name.
        name: &'static str,
        /// Shape the other inputs ask for.
        expected: Vec<usize>,
        /// Shape found.
        got: Vec<usize>,
    },
    /// A value no loss can use.
    #[error("{name}[{at}]: expected {expected}, got {got}")]
    Value {
        /// The array, by AlphaFold's name.
        name: &'static str,
        /// Index in the flattened array.
        at: usize,
        /// What the value should have been.
        expected: &'static str,
        /// The value.
        got: String,
    },
    /// A configured number that makes no sense.
    #[error("{key} = {got}: expected {expected}")]
    Config {
        /// Its place in the heads' section of AlphaFold's configuration.
        key: &'static str,
        /// What it should have been.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// A head has a weight but the prediction lacks its output.
    #[error("{head}: weight is {weight}, but its output is missing")]
    Missing {
        /// The head, by AlphaFold's name.
        head: &'static str,
        /// Its configured weight.
        weight: f64,
    },
    /// The tensor library refused.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Checks a tensor's shape.
pub(crate) fn expect_shape(
    name: &'static str,
    tensor: &candle_core::Tensor,
    expected: &[usize],
) -> Result<()> {
    if tensor.dims() == expected {
        return Ok(());
    }
    Err(Error::Shape { name, expected: expected.to_vec(), got: tensor.dims().to_vec() })
}

/// Checks an array's length against the shape it is the flat form of.
pub(crate) fn expect_len<T>(name: &'static str, array: &[T], shape: &[usize]) -> Result<()> {
    if array.len() == shape.iter().product::<usize>() {
        return Ok(());
    }
    Err(Error::Shape { name, expected: shape.to_vec(), got: vec![array.len()] })
}

/// Checks that every value of a mask is 0 or 1.
pub(crate) fn expect_mask(name: &'static str, mask: &[f32]) -> Result<()> {
    match mask.iter().position(|m| *m != 0.0 && *m != 1.0) {
        None => Ok(()),
        Some(at) => Err(Error::Value { name, at, expected: "0 or 1", got: mask[at].to_string() }),
    }
}
