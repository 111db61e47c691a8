//! Where an operation reads its first input and where its result goes; the two may be one memory.

use crate::cpu::{SharedMut, add_bias};
use std::marker::PhantomData;

/// The values of the first input.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    values: *const f32,
    len: usize,
    alive: PhantomData<&'a f32>,
}

// SAFETY: callers of `range` promise that what they read is not written meanwhile.
unsafe impl Send for Source<'_> {}
// SAFETY: as above.
unsafe impl Sync for Source<'_> {}

impl<'a> Source<'a> {
    /// Values that nothing writes.
    pub fn new(values: &'a [f32]) -> Self {
        Self { values: values.as_ptr(), len: values.len(), alive: PhantomData }
    }

    /// How many values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Values `start..start + len`.
    ///
    /// # Safety
    /// Where source and result are one memory: no thread may write these values while the slice is held.
    /// # Panics  if the range is out of bounds.
    pub unsafe fn range(&self, start: usize, len: usize) -> &[f32] {
        assert!(start + len <= self.len, "range {start}+{len} outside {}", self.len);
        // SAFETY: in bounds; the caller promises that nothing writes here.
        unsafe { std::slice::from_raw_parts(self.values.add(start), len) }
    }
}

/// Memory that takes the result, or to which it is added.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    to: SharedMut<f32>,
    add: bool,
    alive: PhantomData<&'a mut f32>,
}

impl<'a> Place<'a> {
    /// The result replaces what is in `to`.
    pub fn fresh(to: &'a mut [f32]) -> Self {
        Self { to: SharedMut::new(to), add: false, alive: PhantomData }
    }

    /// The result is added to what is in `to`.
    pub fn onto(to: &'a mut [f32]) -> Self {
        Self { to: SharedMut::new(to), add: true, alive: PhantomData }
    }

    /// The same memory, to which the result is added.
    pub(crate) fn adding(self) -> Self {
        Self { add: true, ..self }
    }

    /// The same memory, to be read.
    pub(crate) fn source(&self) -> Source<'a> {
        Source { values: self.to.start(), len: self.to.len(), alive: PhantomData }
    }

    /// Whether the result is added.
    pub fn adds(&self) -> bool {
        self.add
    }

    /// Elements `start..start + len` of the memory, for a matrix product that adds if [`Place::adds`].
    ///
    /// # Safety
    /// No two threads may hold overlapping ranges at a time, nor one of [`Source`] of the same memory.
    /// # Panics  if the range is out of bounds.
    #[allow(clippy::mut_from_ref)] // that is what the safety contract is about
    pub unsafe fn range(&self, start: usize, len: usize) -> &mut [f32] {
        // SAFETY: as the caller's.
        unsafe { self.to.range(start, len) }
    }

    /// Puts or adds `values` from `start` on.
    ///
    /// # Safety
    /// As [`Place::range`].
    /// # Panics  if the range is out of bounds.
    pub unsafe fn put(&self, start: usize, values: &[f32]) {
        // SAFETY: as the caller's.
        let to = unsafe { self.to.range(start, values.len()) };
        if self.add {
            add_bias(to, values);
        } else {
            to.copy_from_slice(values);
        }
    }
}
