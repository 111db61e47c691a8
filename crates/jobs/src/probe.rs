//! Where a crash is most telling: a test may end the process there.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// Ends the process where a test says: `OPERATION:applied|committed:COUNT`, as `claim:committed:1`.
#[derive(Debug)]
pub struct Crash {
    operation: String,
    point: Point,
    left: AtomicU32,
}

impl Probe for Crash {
    fn reached(&self, operation: &'static str, point: Point) {
        let here = operation == self.operation && point == self.point;
        if here && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            std::process::abort();
        }
    }
}

impl FromStr for Crash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected OPERATION:applied|committed:COUNT, found `{text}`");
        let [operation, point, count] = text.split(':').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        let point = match point {
            "applied" => Point::Applied,
            "committed" => Point::Committed,
            _ => return Err(wrong()),
        };
        let left = AtomicU32::new(count.parse().map_err(|_| wrong())?);
        Ok(Self { operation: operation.into(), point, left })
    }
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
