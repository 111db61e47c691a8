//! Ranks that talk through MPI.
//!
//! MPI may add in any order. Here values are only moved by it and added on our side, rank after rank, so that a
//! run's numbers depend on nothing but the number of ranks. What travels is no more than in MPI's own sums.

use super::Collective;
use super::sums::sum_in_order;
use crate::error::{Error, Result};
use mpi::datatype::{Partition, PartitionMut};
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};
use mpi::{Count, Threading};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

/// All processes that were started together. MPI ends a program itself, with a message, if one of them is lost.
pub struct Mpi {
    /// Locked while MPI works: it need not bear calls from two threads at a time.
    universe: Mutex<Universe>,
    rank: usize,
    world: usize,
}

impl Mpi {
    /// Begins to talk. Possible once in a process.
    ///
    /// # Errors  If MPI has begun before, or does not bear calls from other threads than the first.
    pub fn begin() -> Result<Self> {
        let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Serialized) else {
            return Err(Error::Collective("MPI has begun before".into()));
        };
        if threading < Threading::Serialized {
            return Err(Error::Collective(format!(
                "MPI was built for calls from {threading:?} threads only"
            )));
        }
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        Ok(Self { universe: Mutex::new(universe), rank, world: size })
    }

    /// MPI, for this thread.
    fn talk(&self) -> Talk<'_> {
        let lock = self.universe.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Talk { world: lock.world(), _lock: lock }
    }
}

struct Talk<'a> {
    world: SimpleCommunicator,
    _lock: MutexGuard<'a, Universe>,
}

/// Sizes and starts, as MPI wants them. A bucket is far below 2³¹ elements.
fn counts(pieces: &[Range<usize>]) -> (Vec<Count>, Vec<Count>) {
    pieces.iter().map(|p| (p.len() as Count, p.start as Count)).unzip()
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn all_reduce(&self, values: &mut [f64]) -> Result<()> {
        let mut all = vec![0.0; values.len() * self.world];
        self.talk().world.all_gather_into(&*values, &mut all);
        if !values.is_empty() {
            sum_in_order(all.chunks(values.len()), values);
        }
        Ok(())
    }

    fn reduce_scatter(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()> {
        let own = pieces[self.rank].clone();
        let mut all = vec![0.0f32; own.len() * self.world];
        let parts: Vec<_> = (0..self.world).map(|r| r * own.len()..(r + 1) * own.len()).collect();
        {
            let ((sizes, starts), (own_sizes, own_starts)) = (counts(pieces), counts(&parts));
            let from = Partition::new(&*values, sizes, starts);
            let mut to = PartitionMut::new(&mut all[..], own_sizes, own_starts);
            self.talk().world.all_to_all_varcount_into(&from, &mut to);
        }
        sum_in_order(parts.into_iter().map(|part| &all[part]), &mut values[own]);
        Ok(())
    }

    fn all_gather(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()> {
        // A copy: MPI must not read where it writes.
        let own = values[pieces[self.rank].clone()].to_vec();
        let (sizes, starts) = counts(pieces);
        let mut to = PartitionMut::new(values, sizes, starts);
        self.talk().world.all_gather_varcount_into(&own[..], &mut to);
        Ok(())
    }

    fn broadcast(&self, values: &mut [f32]) -> Result<()> {
        self.talk().world.process_at_rank(0).broadcast_into(values);
        Ok(())
    }

    fn abort(&self, code: u8) -> ! {
        self.talk().world.abort(code.into())
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // The end of MPI waits for all ranks, which may be waiting for this one.
        if std::thread::panicking() {
            self.abort(101);
        }
    }
}
