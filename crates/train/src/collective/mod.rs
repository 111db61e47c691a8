//! Talk between the ranks of a run.

use crate::error::Result;
use std::ops::Range;

/// Ranks that train together, a process each. Every rank makes the same calls in the same order.
pub trait Collective: Send + Sync {
    /// This process's number, below [`Collective::world`]; rank 0 writes files and metrics.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn world(&self) -> usize;

    /// Every element becomes its sum over the ranks, the same to the bit on each.
    ///
    /// # Errors  If a rank is lost.
    fn all_reduce(&self, values: &mut [f64]) -> Result<()>;

    /// Rank r's `pieces[r]` of `values` becomes the sum over the ranks; the rest is left in any state.
    ///
    /// # Errors  If a rank is lost.
    fn reduce_scatter(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()>;

    /// Everyone gets rank r's `pieces[r]`.
    ///
    /// # Errors  If a rank is lost.
    fn all_gather(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()>;

    /// Everyone gets rank 0's values.
    ///
    /// # Errors  If a rank is lost.
    fn broadcast(&self, values: &mut [f32]) -> Result<()>;

    /// Waits for all.
    ///
    /// # Errors  If a rank is lost.
    fn barrier(&self) -> Result<()>;
}

/// One process alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Single;

impl Collective for Single {
    fn rank(&self) -> usize {
        0
    }

    fn world(&self) -> usize {
        1
    }

    fn all_reduce(&self, _: &mut [f64]) -> Result<()> {
        Ok(())
    }

    fn reduce_scatter(&self, _: &mut [f32], _: &[Range<usize>]) -> Result<()> {
        Ok(())
    }

    fn all_gather(&self, _: &mut [f32], _: &[Range<usize>]) -> Result<()> {
        Ok(())
    }

    fn broadcast(&self, _: &mut [f32]) -> Result<()> {
        Ok(())
    }

    fn barrier(&self) -> Result<()> {
        Ok(())
    }
}
