//! Ranks that talk through NCCL, a GPU each: host values are moved between them, and nothing is computed.
//!
//! NCCL is opened when it is needed, as all of CUDA's libraries are: building takes nothing. Values go through two pieces of memory on
//! the GPU, a round at a time, so their size is bounded whatever is sent. **Unseen on a GPU**: tests run it on a stand-in for NCCL and the
//! driver (`crates/train/tests/all/nccl/fake.c`); the real library has been asked for its version and an [`Id`] only.

mod library;
mod staging;

pub use library::{Id, version};

use library::{Api, Handle};
use staging::Staging;
use std::ops::Range;
use std::ptr::null_mut;
use std::time::Duration;

/// Memory on the GPU for what is sent, and as much for what is received, bytes.
const STAGING: usize = 64 << 20;

/// Numbers that may be moved byte by byte.
pub trait Word: Copy + sealed::Sealed {}
impl Word for f32 {}
impl Word for f64 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// One of the ranks that talk, on one GPU. After an error it is of no use any more: NCCL's work on this GPU has been ended, and
/// the other ranks must be told by other means.
pub struct Comm {
    api: Api,
    /// Null once it has been ended.
    handle: Handle,
    staging: Staging,
    rank: usize,
    world: usize,
    /// Bytes that one rank sends to another in a round.
    slot: usize,
}

// SAFETY: NCCL's handles may be used by any thread, one at a time; each call binds the GPU to its thread.
unsafe impl Send for Comm {}

impl Comm {
    /// Joins the ranks that were given the same `id`; waits for all of them.
    ///
    /// # Errors  What is missing (driver, GPU, library), or what NCCL says: as when two ranks were given one GPU.
    pub fn begin(gpu: usize, id: &Id, rank: usize, world: usize) -> Result<Self, String> {
        let api = Api::open()?;
        let slot = (STAGING / world.max(1)) & !255;
        if slot == 0 || rank >= world {
            return Err(format!("expected a rank below {world}, the number of ranks, got {rank}"));
        }
        let staging = Staging::open(gpu, slot * world)?;
        let handle = api.begin(id, rank, world).map_err(|e| {
            format!(
                "{e} (rank {rank} on GPU {gpu}; each rank needs a GPU of its own, NCCL_DEBUG=WARN says more)"
            )
        })?;
        Ok(Self { api, handle, staging, rank, world, slot })
    }

    /// `send[r]` goes to rank r, and `receive[r]` is what rank r sent to this one; the sizes fit on both sides.
    ///
    /// # Errors  If a rank or the GPU is lost.
    ///
    /// # Panics  If there is not a piece for every rank.
    pub fn exchange<T: Word>(&mut self, send: &[&[T]], receive: &mut [&mut [T]]) -> Result<(), String> {
        assert_eq!((send.len(), receive.len()), (self.world, self.world), "a piece for every rank");
        self.or_end(|comm| {
            let each = comm.slot / size_of::<T>();
            // Pieces that are longer than a round end in later ones, in which fewer ranks may take part: what goes from one rank to
            // another is cut and ordered by its own length alone.
            let longest = send.iter().map(|s| s.len()).chain(receive.iter().map(|r| r.len())).max();
            for round in 0..longest.unwrap_or(0).div_ceil(each) {
                comm.staging.bind()?;
                for (rank, values) in send.iter().enumerate() {
                    let values = bytes(&values[part(values.len(), round, each)]);
                    comm.staging.upload(rank * comm.slot, values)?;
                }
                comm.api.group(|| {
                    for rank in 0..comm.world {
                        let count = |n: usize| part(n, round, each).len() * size_of::<T>();
                        let (sent, received) = (count(send[rank].len()), count(receive[rank].len()));
                        let at = rank * comm.slot;
                        let (from, to) =
                            (comm.staging.outgoing(at, sent), comm.staging.incoming(at, received));
                        comm.api.send(comm.handle, from, rank, comm.staging.stream())?;
                        comm.api.receive(comm.handle, to, rank, comm.staging.stream())?;
                    }
                    Ok(())
                })?;
                comm.wait()?;
                for (rank, values) in receive.iter_mut().enumerate() {
                    let part = part(values.len(), round, each);
                    comm.staging.download(bytes_mut(&mut values[part]), rank * comm.slot)?;
                }
                comm.staging.finish()?;
            }
            Ok(())
        })
    }

    /// Everyone gets rank r's `pieces[r]` of `values`. The pieces are the same on all ranks.
    ///
    /// # Errors  If a rank or the GPU is lost.
    ///
    /// # Panics  If there is not a piece for every rank.
    pub fn gather<T: Word>(&mut self, values: &mut [T], pieces: &[Range<usize>]) -> Result<(), String> {
        assert_eq!(pieces.len(), self.world, "a piece for every rank");
        self.or_end(|comm| {
            let each = comm.slot / size_of::<T>();
            let longest = pieces.iter().map(Range::len).max().unwrap_or(0);
            for round in 0..longest.div_ceil(each) {
                let part = |rank: usize| {
                    let Range { start, end } = part(pieces[rank].len(), round, each);
                    pieces[rank].start + start..pieces[rank].start + end
                };
                comm.staging.bind()?;
                comm.staging.upload_incoming(comm.rank * comm.slot, bytes(&values[part(comm.rank)]))?;
                comm.api.group(|| {
                    for root in 0..comm.world {
                        let place =
                            comm.staging.incoming(root * comm.slot, part(root).len() * size_of::<T>());
                        comm.api.broadcast(comm.handle, place, root, comm.staging.stream())?;
                    }
                    Ok(())
                })?;
                comm.wait()?;
                for root in (0..comm.world).filter(|&root| root != comm.rank) {
                    comm.staging.download(bytes_mut(&mut values[part(root)]), root * comm.slot)?;
                }
                comm.staging.finish()?;
            }
            Ok(())
        })
    }

    /// Everyone gets rank 0's values.
    ///
    /// # Errors  If a rank or the GPU is lost.
    pub fn broadcast<T: Word>(&mut self, values: &mut [T]) -> Result<(), String> {
        let n = values.len();
        let pieces: Vec<Range<usize>> = (0..self.world).map(|r| if r == 0 { 0..n } else { n..n }).collect();
        self.gather(values, &pieces)
    }

    /// Ends NCCL's work on this GPU, whatever it waits for.
    pub fn abort(&mut self) {
        if !self.handle.is_null() {
            // A thread that has not bound the GPU's context may be the one that ends.
            let _ = self.staging.bind();
            self.api.abort(self.handle);
            self.handle = null_mut();
        }
    }

    /// What `call` gives; if that is an error, NCCL's work is ended, so that nothing reads or writes memory that is gone.
    fn or_end<T>(&mut self, call: impl FnOnce(&Self) -> Result<T, String>) -> Result<T, String> {
        if self.handle.is_null() {
            return Err("NCCL has been ended after an error".into());
        }
        let outcome = call(self);
        if outcome.is_err() {
            self.abort();
            let _ = self.staging.finish();
        }
        outcome
    }

    /// Waits until the GPU has done what it was given. NCCL's work does not end by itself if a rank is lost; NCCL says so elsewhere.
    fn wait(&self) -> Result<(), String> {
        let mut turns = 0u32;
        while !self.staging.is_done()? {
            self.api.check(self.handle)?;
            turns += 1;
            match turns {
                0..200 => std::thread::yield_now(),
                200..2000 => std::thread::sleep(Duration::from_micros(50)),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        self.api.check(self.handle)
    }
}

impl Drop for Comm {
    fn drop(&mut self) {
        if !self.handle.is_null() && self.staging.bind().is_ok() {
            self.api.end(self.handle);
        }
    }
}

/// Ends the program at once. Unlike [`std::process::exit`] it calls nothing that was registered for the end: CUDA's own would wait for
/// work of other threads, which may wait for a rank that is gone.
pub fn leave(code: u8) -> ! {
    #[cfg(unix)]
    // SAFETY: ends the process.
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(unix))]
    std::process::exit(code.into())
}

/// What the nth round takes of `n` elements.
fn part(n: usize, round: usize, each: usize) -> Range<usize> {
    let start = (round * each).min(n);
    start..(start + each).min(n)
}

fn bytes<T: Word>(values: &[T]) -> &[u8] {
    // SAFETY: numbers without padding, seen as bytes.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn bytes_mut<T: Word>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are a number.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_cover_everything_once() {
        for n in [0usize, 1, 6, 7, 8, 23] {
            let all: Vec<usize> = (0..n.div_ceil(7)).flat_map(|round| part(n, round, 7)).collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
            assert!(part(n, n.div_ceil(7), 7).is_empty());
        }
    }
}
