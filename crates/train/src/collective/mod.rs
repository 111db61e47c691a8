//! Talk between the ranks of a run.

mod agree;
mod join;
#[cfg(feature = "mpi")]
mod mpi;
mod nccl;
mod sums;

pub use agree::agree;
pub(crate) use agree::{all_texts, same};
pub use join::join;

use crate::error::Result;
use std::ops::Range;

/// Ranks that train together, a process each. Every rank makes the same calls in the same order.
pub trait Collective: Send + Sync {
    /// This process's number, below [`Collective::world`]; rank 0 writes files and metrics.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn world(&self) -> usize;

    /// Every element becomes its sum over the ranks, added in the order of ranks: the same to the bit on each.
    ///
    /// # Errors  If a rank is lost.
    fn all_reduce(&self, values: &mut [f64]) -> Result<()>;

    /// Rank r's `pieces[r]` of `values` becomes the sum over the ranks, added in their order; the rest is left in any state.
    /// The pieces follow each other and cover `values`.
    ///
    /// # Errors  If a rank is lost.
    fn reduce_scatter(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()>;

    /// Everyone gets rank r's `pieces[r]`. The pieces follow each other and cover `values`.
    ///
    /// # Errors  If a rank is lost.
    fn all_gather(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()>;

    /// Everyone gets rank 0's values.
    ///
    /// # Errors  If a rank is lost.
    fn broadcast(&self, values: &mut [f32]) -> Result<()>;

    /// Ends all ranks at once, the program's exit code being `code`: one that has failed must not leave the others waiting.
    fn abort(&self, code: u8) -> !;
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

    fn abort(&self, code: u8) -> ! {
        std::process::exit(code.into())
    }
}
