//! Settings from the environment.

use crate::Failure;
use std::time::Duration;

/// A duration in milliseconds.
pub fn millis(name: &str) -> Result<Option<Duration>, Failure> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    let millis = text.parse().map_err(|_| format!("{name}: expected milliseconds, found {text:?}"))?;
    Ok(Some(Duration::from_millis(millis)))
}
