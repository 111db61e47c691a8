//! Builds with debug assertions, which releases are not, end themselves where a test says.

use crate::failure::bad_input;
use jobs::{Point, Probe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// `OPERATION:applied|committed:COUNT`, as `claim:committed:1`.
const NAME: &str = "FOLDRY_FAILPOINT";

struct Crash {
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

/// The failpoint that the environment names.
///
/// # Errors  bad input: it is none.
pub fn probe() -> anyhow::Result<Option<Arc<dyn Probe>>> {
    let Ok(text) = std::env::var(NAME) else { return Ok(None) };
    let wrong = || bad_input(format!("{NAME}: expected OPERATION:applied|committed:COUNT, found `{text}`"));
    let [operation, point, count] = text.split(':').collect::<Vec<_>>()[..] else { return Err(wrong()) };
    let point = match point {
        "applied" => Point::Applied,
        "committed" => Point::Committed,
        _ => return Err(wrong()),
    };
    let left = AtomicU32::new(count.parse().map_err(|_| wrong())?);
    Ok(Some(Arc::new(Crash { operation: operation.into(), point, left })))
}
