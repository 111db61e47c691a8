//! Blocks of rows over the thread pool.

use rayon::prelude::*;

/// A slice that several threads write, each its own part.
#[derive(Clone, Copy)]
pub struct SharedMut<T> {
    ptr: *mut T,
    len: usize,
}

// SAFETY: callers of `range` promise disjoint parts, so no element is reached by two threads.
unsafe impl<T: Send> Send for SharedMut<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<T> {}

impl<T> SharedMut<T> {
    /// Shares `slice` until the parallel section ends.
    pub fn new(slice: &mut [T]) -> Self {
        Self { ptr: slice.as_mut_ptr(), len: slice.len() }
    }

    /// Pointer to the first element.
    pub(crate) fn start(&self) -> *const T {
        self.ptr
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Elements `start..start + len`.
    ///
    /// # Safety
    /// No two threads may hold overlapping ranges at a time, and the slice given to `new` must live.
    /// # Panics  if the range is out of bounds.
    #[allow(clippy::mut_from_ref)] // that is what the safety contract is about
    pub unsafe fn range(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start + len <= self.len, "range {start}+{len} outside {}", self.len);
        // SAFETY: in bounds; the caller promises disjointness and lifetime.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(start), len) }
    }

    /// Pointer to element `start`.
    ///
    /// # Panics  if out of bounds.
    pub fn at(&self, start: usize) -> *mut T {
        assert!(start < self.len, "element {start} outside {}", self.len);
        self.ptr.wrapping_add(start)
    }
}

/// Calls `f(start, len)` for consecutive blocks of `0..total`, in parallel.
pub fn for_blocks(total: usize, block: usize, f: impl Fn(usize, usize) + Sync + Send) {
    let block = block.max(1);
    let count = total.div_ceil(block);
    let run = |i: usize| f(i * block, block.min(total - i * block));
    if count <= 1 {
        (0..count).for_each(run);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(run);
    }
}

/// Keeps candle's own elementwise operations on the thread that calls them. Its pool's threads wait for each other by
/// spinning: on busy cores that took an eighth of the CPU time of a training step, for sums that are bound by memory.
/// `CANDLE_NUM_THREADS` in the environment has the last word.
///
/// To be called first of all in `main`: the environment may not change while other threads read it.
pub fn keep_candle_on_one_thread() {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: there is one thread yet, as asked for above.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn blocks_cover_everything_once() {
        let seen: Vec<AtomicUsize> = (0..103).map(|_| AtomicUsize::new(0)).collect();
        for_blocks(103, 10, |start, len| {
            (start..start + len).for_each(|i| {
                seen[i].fetch_add(1, Ordering::Relaxed);
            })
        });
        assert!(seen.iter().all(|c| c.load(Ordering::Relaxed) == 1));
    }
}
