//! Ranks that talk through NCCL, a GPU each (docs/training.md). **Unseen on a GPU.**
//!
//! As with MPI, values are only moved; they are added on our side, rank after rank. NCCL knows no end for all, so the connections
//! over which ranks found each other stay open for that ([`watch`]).

mod greeting;
mod launch;
mod rendezvous;
mod watch;

use super::Collective;
use super::sums::sum_in_order;
use crate::error::{Error, Result};
use launch::Launch;
use nn::cuda::nccl::{Comm, Id, leave};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;
use watch::{End, Watch};

/// How long ranks wait for each other at the beginning.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long NCCL may take to end its work once the program is to end.
const ENDING: Duration = Duration::from_secs(5);

/// All processes that were started together with an environment like `torchrun`'s. If one of them is lost, the others end with a
/// message.
pub struct Nccl {
    /// Locked while values are moved.
    comm: Mutex<Comm>,
    watch: Watch,
    rank: usize,
    world: usize,
}

impl Nccl {
    /// Finds the other ranks and begins to talk, as the environment says.
    ///
    /// # Errors  If the environment is not complete, a rank does not come, or NCCL or the GPU cannot be used.
    pub fn begin() -> Result<Self> {
        let launch = Launch::of(|name| std::env::var(name).ok())?;
        let Launch { rank, world, gpu, .. } = launch;
        let wrong = |e: String| Error::Collective(format!("rank {rank}: {e}"));
        let (id, peers) = if rank == 0 {
            let id = Id::make().map_err(wrong)?;
            let listener = rendezvous::listen(&launch.place())?;
            (id, rendezvous::lead(&listener, world, &id.0, PATIENCE)?)
        } else {
            // Before others wait for this one.
            nn::cuda::nccl::version().map_err(wrong)?;
            let (peer, id) = rendezvous::follow(&launch.place(), rank, world, PATIENCE)?;
            (Id(id), vec![peer])
        };
        // A rank that ends while NCCL begins would leave the others waiting.
        let watch =
            Watch::begin(rank, peers, watch::Pace::default(), Box::new(move |end| ended(rank, &end)))?;
        let comm = Comm::begin(gpu, &id, rank, world).map_err(wrong)?;
        Ok(Self { comm: Mutex::new(comm), watch, rank, world })
    }

    fn talk(&self) -> MutexGuard<'_, Comm> {
        self.comm.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What one rank does when another has ended.
fn ended(rank: usize, end: &End) {
    match end {
        End::Lost { rank: other, why } => eprintln!("ERROR  rank {rank}: rank {other} is lost: {why}"),
        // That rank says why.
        End::Failed { rank: other, .. } => eprintln!("INFO train.end rank={rank} failed={other}"),
    }
    leave(end.code())
}

impl Collective for Nccl {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn all_reduce(&self, values: &mut [f64]) -> Result<()> {
        let n = values.len();
        let mut all = vec![0.0; n * self.world];
        let pieces: Vec<Range<usize>> = (0..self.world).map(|r| r * n..(r + 1) * n).collect();
        all[pieces[self.rank].clone()].copy_from_slice(values);
        self.talk().gather(&mut all, &pieces).map_err(Error::Collective)?;
        sum_in_order(pieces.into_iter().map(|piece| &all[piece]), values);
        Ok(())
    }

    fn reduce_scatter(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()> {
        let own = pieces[self.rank].clone();
        let mut all = vec![vec![0.0f32; own.len()]; self.world];
        {
            let send: Vec<&[f32]> = pieces.iter().map(|piece| &values[piece.clone()]).collect();
            let mut receive: Vec<&mut [f32]> = all.iter_mut().map(Vec::as_mut_slice).collect();
            self.talk().exchange(&send, &mut receive).map_err(Error::Collective)?;
        }
        sum_in_order(all.iter().map(Vec::as_slice), &mut values[own]);
        Ok(())
    }

    fn all_gather(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()> {
        self.talk().gather(values, pieces).map_err(Error::Collective)
    }

    fn broadcast(&self, values: &mut [f32]) -> Result<()> {
        self.talk().broadcast(values).map_err(Error::Collective)
    }

    fn abort(&self, code: u8) -> ! {
        self.watch.fail(code);
        std::thread::spawn(move || {
            std::thread::sleep(ENDING);
            leave(code)
        });
        // Not if another thread is at it: the end of the process ends its work, too.
        match self.comm.try_lock() {
            Ok(mut comm) => comm.abort(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().abort(),
            Err(TryLockError::WouldBlock) => {}
        }
        leave(code)
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.abort(101);
        }
        // Until all ranks are through with their work: one that has failed ends this one here.
        self.watch.finish();
    }
}
