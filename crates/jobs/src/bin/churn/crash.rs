//! Ends the process at a point.

use crate::Failure;
use jobs::{Point, Probe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

struct Crash {
    operation: String,
    point: Point,
    left: AtomicU32,
}

impl Probe for Crash {
    fn reached(&self, operation: &'static str, point: Point) {
        if operation == self.operation && point == self.point && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }
}

/// `OPERATION applied|committed COUNT`, or nothing.
pub fn probe(arguments: &[String]) -> Result<Option<Arc<dyn Probe>>, Failure> {
    let [operation, point, count] = arguments else { return Ok(None) };
    let point = match point.as_str() {
        "applied" => Point::Applied,
        "committed" => Point::Committed,
        other => return Err(format!("expected applied or committed, found {other}").into()),
    };
    Ok(Some(Arc::new(Crash { operation: operation.clone(), point, left: AtomicU32::new(count.parse()?) })))
}
