//! Samples prepared ahead by threads and handed out in order: the number of threads changes nothing but the time.

use crate::error::BoxError;
use crate::order::Order;
use crate::philox::RngKey;
use crate::task::DataSource;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard};

/// A prepared sample, or why there is none.
pub(crate) type Sample<B> = Result<B, BoxError>;

/// Which positions this rank takes, and what each is.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'a, S> {
    pub source: &'a S,
    pub order: &'a dyn Order,
    pub seed: u64,
    /// Samples a step over all ranks.
    pub batch: u64,
    pub rank: u64,
    pub world: u64,
}

impl<S: DataSource> Plan<'_, S> {
    /// Samples a step of this rank.
    pub fn share(&self) -> u64 {
        self.batch / self.world
    }

    /// The place in the run of this rank's `turn`th sample: (step, number in the step).
    pub fn place(&self, turn: u64) -> (u64, u32) {
        let (step, nth) = (turn / self.share(), turn % self.share());
        (step, (self.rank * self.share() + nth) as u32)
    }

    /// Prepares this rank's `turn`th sample.
    fn prepare(&self, turn: u64) -> Sample<S::Batch> {
        let (step, micro) = self.place(turn);
        let index = self.order.index(step * self.batch + u64::from(micro));
        let key = RngKey::new(self.seed, step, micro);
        // One bad sample must not end a run of days: a panic is a reason to skip it like any other.
        catch_unwind(AssertUnwindSafe(|| self.source.get(index, key)))
            .unwrap_or_else(|_| Err("preparing it panicked".into()))
            .map_err(|e| format!("sample {index}: {e}").into())
    }
}

/// What the threads share.
struct Shelf<B> {
    /// The next turn nobody prepares yet.
    next: u64,
    /// The turn that is handed out next.
    due: u64,
    ready: BTreeMap<u64, Sample<B>>,
    closed: bool,
}

/// Samples in order of their turns.
pub(crate) struct Prefetch<'a, S: DataSource> {
    plan: Plan<'a, S>,
    ahead: u64,
    end: u64,
    workers: usize,
    shelf: Mutex<Shelf<S::Batch>>,
    changed: Condvar,
}

impl<'a, S: DataSource> Prefetch<'a, S> {
    /// Turns `start..end`, at most `ahead` of them prepared or being prepared at a time.
    pub fn new(plan: Plan<'a, S>, start: u64, end: u64, workers: usize, ahead: usize) -> Self {
        let shelf = Shelf { next: start, due: start, ready: BTreeMap::new(), closed: false };
        let (shelf, changed) = (Mutex::new(shelf), Condvar::new());
        Self { plan, ahead: ahead.max(1) as u64, end, workers, shelf, changed }
    }

    /// A lock that outlives a panic: what it guards is whole between any two statements.
    fn shelf(&self) -> MutexGuard<'_, Shelf<S::Batch>> {
        self.shelf.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What a worker thread does until the end.
    pub fn work(&self) {
        loop {
            let turn = {
                let mut shelf = self.shelf();
                while !shelf.closed && shelf.next < self.end && shelf.next >= shelf.due + self.ahead {
                    shelf = self.changed.wait(shelf).unwrap_or_else(|poisoned| poisoned.into_inner());
                }
                if shelf.closed || shelf.next >= self.end {
                    return;
                }
                shelf.next += 1;
                shelf.next - 1
            };
            let sample = self.plan.prepare(turn);
            self.shelf().ready.insert(turn, sample);
            self.changed.notify_all();
        }
    }

    /// The next sample in order, prepared here if there are no workers.
    pub fn next(&self) -> Sample<S::Batch> {
        let mut shelf = self.shelf();
        let turn = shelf.due;
        if self.workers == 0 {
            shelf.due += 1;
            drop(shelf);
            return self.plan.prepare(turn);
        }
        loop {
            if let Some(sample) = shelf.ready.remove(&turn) {
                shelf.due += 1;
                drop(shelf);
                self.changed.notify_all();
                return sample;
            }
            shelf = self.changed.wait(shelf).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Sends the workers home.
    pub fn close(&self) {
        self.shelf().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Permutation;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Duration;

    struct Source {
        running: AtomicU64,
        most: AtomicU64,
    }

    impl DataSource for Source {
        type Batch = (u64, u64);

        fn len(&self) -> u64 {
            10
        }

        fn get(&self, index: u64, key: RngKey) -> Sample<(u64, u64)> {
            let running = self.running.fetch_add(1, SeqCst) + 1;
            self.most.fetch_max(running, SeqCst);
            let draw = key.site(0).u64();
            // Slow and fast ones mixed, so that they are ready out of order.
            std::thread::sleep(Duration::from_micros(draw % 3000));
            self.running.fetch_sub(1, SeqCst);
            match index {
                3 => Err("broken".into()),
                4 => panic!("a panic that the test wants"),
                _ => Ok((index, draw)),
            }
        }
    }

    fn collect(workers: usize, ahead: usize, rank: u64, world: u64) -> (Vec<String>, u64) {
        let source = Source { running: AtomicU64::new(0), most: AtomicU64::new(0) };
        let order = Permutation::new(10, 1).unwrap();
        let plan = Plan { source: &source, order: &order, seed: 5, batch: 6, rank, world };
        let end = 24 / world;
        let prefetch = Prefetch::new(plan, 2, end, workers, ahead);
        let got = std::thread::scope(|s| {
            for _ in 0..workers {
                s.spawn(|| prefetch.work());
            }
            let got = (2..end).map(|_| format!("{:?}", prefetch.next())).collect();
            prefetch.close();
            got
        });
        (got, source.most.load(SeqCst))
    }

    #[test]
    fn workers_change_nothing() {
        let (alone, _) = collect(0, 1, 0, 1);
        assert_eq!(alone.len(), 22);
        assert!(alone.iter().any(|s| s.contains("sample 3: broken")), "{alone:?}");
        assert!(alone.iter().any(|s| s.contains("sample 4: preparing it panicked")), "{alone:?}");
        assert_eq!(collect(1, 1, 0, 1).0, alone);
        let (many, most) = collect(5, 3, 0, 1);
        assert_eq!(many, alone);
        assert!(most <= 3, "{most} at a time");
    }

    #[test]
    fn ranks_share_the_positions_of_a_step() {
        let (alone, _) = collect(0, 1, 0, 1);
        let (first, second) = (collect(2, 4, 0, 2).0, collect(2, 4, 1, 2).0);
        // Turn 2 of a rank is its third sample of step 0: positions 2 and 5.
        assert_eq!(first[0], alone[0]);
        assert_eq!(second[0], alone[3]);
        assert_eq!(first[1..4], alone[4..7]);
        assert_eq!(second[1..4], alone[7..10]);
    }

    #[test]
    fn closing_early_ends_the_workers() {
        let source = Source { running: AtomicU64::new(0), most: AtomicU64::new(0) };
        let order = Permutation::new(10, 1).unwrap();
        let plan = Plan { source: &source, order: &order, seed: 5, batch: 1, rank: 0, world: 1 };
        let prefetch = Prefetch::new(plan, 0, 1_000_000, 3, 4);
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| prefetch.work());
            }
            let _ = prefetch.next();
            prefetch.close();
        });
        assert!(prefetch.shelf().next <= 6);
    }
}
