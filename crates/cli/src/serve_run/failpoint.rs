//! Builds with debug assertions, which releases are not, end themselves where a test says.

use crate::failure::bad_input;
use jobs::{Crash, Probe};
use std::sync::Arc;

/// What a [`Crash`] is read from.
const NAME: &str = "FOLDRY_FAILPOINT";

/// The failpoint that the environment names.
///
/// # Errors  bad input: it is none.
pub fn probe() -> anyhow::Result<Option<Arc<dyn Probe>>> {
    let Ok(text) = std::env::var(NAME) else { return Ok(None) };
    let crash: Crash = text.parse().map_err(|error| bad_input(format!("{NAME}: {error}")))?;
    Ok(Some(Arc::new(crash)))
}
