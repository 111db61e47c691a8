//! Where metrics go.

mod jsonl;
mod progress;
mod tensorboard;

pub use jsonl::Jsonl;
pub use progress::Progress;
pub use tensorboard::TensorBoard;

use crate::error::Result;
use std::collections::BTreeMap;

/// Takes what a run measures. Only rank 0 has trackers.
pub trait Tracker: Send {
    /// The run begins, or goes on, after `step` finished steps of `steps`: what was recorded of later ones is void.
    ///
    /// # Errors  If the record cannot be made ready.
    fn begin(&mut self, _step: u64, _steps: u64) -> Result<()> {
        Ok(())
    }

    /// Numbers by name of `kind` (`train`, `validate`) after `step` finished steps.
    ///
    /// # Errors  If they cannot be recorded.
    fn scalars(&mut self, step: u64, kind: &str, values: &BTreeMap<String, f64>) -> Result<()>;

    /// Something worth a line: a sample skipped, a checkpoint saved.
    ///
    /// # Errors  If it cannot be recorded.
    fn note(&mut self, _step: u64, _text: &str) -> Result<()> {
        Ok(())
    }

    /// The run ends, for now.
    ///
    /// # Errors  If the record cannot be completed.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}
