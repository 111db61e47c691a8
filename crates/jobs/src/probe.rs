//! Where a crash is most telling: a test may end the process there.

/// A place in the life of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Every statement of the operation ran, nothing is committed.
    Applied,
    /// It is on disk and the caller does not know.
    Committed,
}

/// Is told of every write that reaches a point.
pub trait Probe: Send + Sync {
    /// `operation` (`submit`, `claim`, …) is at `point`.
    fn reached(&self, operation: &'static str, point: Point);
}
