//! Where a crash is most telling: a test may end the process there.

use std::fmt;
use std::sync::Arc;

/// A place in the life of a write: of a transaction, or of a blob's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Every statement of the operation ran, nothing is committed; a blob is flushed, not yet under its name.
    Applied,
    /// It is on disk and the caller does not know.
    Committed,
}

/// Is told of every write that reaches a point.
pub trait Probe: Send + Sync {
    /// `operation` (`submit`, `claim`, …, `blob`) is at `point`.
    fn reached(&self, operation: &'static str, point: Point);
}

/// A probe, or none.
#[derive(Clone, Default)]
pub(crate) struct Hook(pub(crate) Option<Arc<dyn Probe>>);

impl Hook {
    pub(crate) fn reached(&self, operation: &'static str, point: Point) {
        if let Some(probe) = &self.0 {
            probe.reached(operation, point);
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "a probe" } else { "no probe" })
    }
}
