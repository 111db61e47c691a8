//! Memory for bodies: a thousand slow ones must not take what the server needs.

use crate::code::Code;
use crate::problem::{Problem, Result};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in parts of so many bytes.
const PART: usize = 4096;

/// What all bodies together may take.
pub(crate) struct Budget(Arc<Semaphore>);

/// What one body has taken; given back when dropped.
pub(crate) struct Share {
    free: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
    parts: usize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / PART).min(Semaphore::MAX_PERMITS))))
    }

    pub(crate) fn share(&self) -> Share {
        Share { free: self.0.clone(), taken: None, parts: 0 }
    }
}

impl Share {
    /// Takes more until it holds `bytes`. Does not wait: bodies that wait for each other would wait for ever.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<()> {
        let more = bytes.div_ceil(PART).saturating_sub(self.parts);
        if more == 0 {
            return Ok(());
        }
        let busy = || {
            let detail = "the memory for requests is in use; try again, or send the body faster";
            Problem::new(Code::ServerBusy, detail).retry_after(5)
        };
        let more_parts = u32::try_from(more).map_err(|_| busy())?;
        let permit = self.free.clone().try_acquire_many_owned(more_parts).map_err(|_| busy())?;
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        self.parts += more;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_taken_once_and_given_back() {
        let budget = Budget::new(3 * PART);
        let (mut a, mut b) = (budget.share(), budget.share());
        a.grow(PART + 1).unwrap();
        a.grow(2 * PART).unwrap();
        b.grow(PART).unwrap();
        assert_eq!(b.grow(PART + 1).unwrap_err().code, Code::ServerBusy);
        drop(a);
        b.grow(3 * PART).unwrap();
    }
}
