//! What a write is to the backends.

use super::turn::Turn;
use crate::Result;
use async_trait::async_trait;

/// One write; it sees all writes that were committed before it.
#[async_trait]
pub(crate) trait Operation: Send + 'static {
    /// What the caller gets.
    type Output: Send + 'static;
    /// For probes and messages.
    const NAME: &'static str;

    /// Runs inside a transaction. After an `Err` all its statements are taken back. It may be run again after that.
    async fn run(&mut self, turn: &mut Turn<'_>) -> Result<Self::Output>;
}
