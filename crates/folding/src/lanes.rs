//! Several chains at once, each in a lane of its own, told in order.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

/// Pools that work beside each other. What runs in one is shared out among its own threads only, so that small
/// operations of one chain do not wait for those of another.
pub struct Lanes(Vec<ThreadPool>);

impl Lanes {
    /// `lanes` pools of `threads` threads, at least one of each.
    ///
    /// # Errors  if threads cannot be started.
    pub fn new(lanes: usize, threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let lane = |i| {
            let pool = ThreadPoolBuilder::new().num_threads(threads.max(1)).stack_size(STACK);
            pool.thread_name(move |_| format!("lane {i}")).build()
        };
        (0..lanes.max(1)).map(lane).collect::<Result<_, _>>().map(Self)
    }

    /// How many lanes of `threads` threads in all: as many as hold the most that one takes (`each`) within `room`.
    pub fn that_fit(threads: usize, each: u64, room: u64) -> usize {
        usize::try_from(room / each.max(1)).unwrap_or(usize::MAX).clamp(1, threads.max(1))
    }

    /// Calls `work` for 0..`n`, whichever lane is free takes the next, and `told` with each result in order, on the
    /// thread that asks. Once `stop` is set no other is begun; those begun are told.
    ///
    /// # Errors  the first of `told`, after which nothing more is begun or told.
    /// # Panics  if `work` does.
    pub fn in_order<T: Send, E>(
        &self,
        n: usize,
        stop: &AtomicBool,
        work: impl Fn(usize) -> T + Sync,
        mut told: impl FnMut(usize, T) -> Result<(), E>,
    ) -> Result<(), E> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (results, arrive) = mpsc::channel();
        let ends = || stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
        let run = |results: mpsc::Sender<(usize, T)>| {
            while !ends() {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= n || results.send((i, work(i))).is_err() {
                    break;
                }
            }
        };
        std::thread::scope(|scope| {
            for lane in &self.0 {
                let (results, run) = (results.clone(), &run);
                scope.spawn(move || lane.install(|| run(results)));
            }
            drop(results);
            let (mut waiting, mut turn) = (BTreeMap::new(), 0);
            for (i, result) in arrive {
                waiting.insert(i, result);
                while let Some(result) = waiting.remove(&turn) {
                    if let Err(error) = told(turn, result) {
                        failed.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                    turn += 1;
                }
            }
            Ok(())
        })
    }
}

/// As much as a main thread has. Only what is used of it is ever taken.
const STACK: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What is told of 23 numbers, the earlier the slower, by so many lanes.
    fn told(lanes: usize) -> (Vec<(usize, usize)>, usize) {
        let (stop, mut all) = (AtomicBool::new(false), Vec::new());
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |i: usize| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(if i.is_multiple_of(3) { 9 } else { 1 }));
            now.fetch_sub(1, Ordering::SeqCst);
            i * i
        };
        let done: Result<(), ()> = Lanes::new(lanes, 1).unwrap().in_order(23, &stop, work, |i, x| {
            all.push((i, x));
            Ok(())
        });
        done.unwrap();
        (all, most.into_inner())
    }

    #[test]
    fn the_order_is_that_of_one_lane() {
        let expected: Vec<_> = (0..23).map(|i| (i, i * i)).collect();
        assert_eq!(told(1), (expected.clone(), 1));
        assert_eq!(told(3), (expected, 3));
    }

    #[test]
    fn what_was_begun_is_told_when_stopped() {
        let (stop, begun, mut all) = (AtomicBool::new(false), AtomicUsize::new(0), Vec::new());
        let work = |i| {
            begun.fetch_add(1, Ordering::SeqCst);
            stop.store(i >= 5, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
        };
        let done: Result<(), ()> = Lanes::new(2, 1).unwrap().in_order(1000, &stop, work, |i, ()| {
            all.push(i);
            Ok(())
        });
        assert_eq!((done, all), (Ok(()), (0..begun.into_inner()).collect::<Vec<_>>()));
    }

    #[test]
    fn an_error_of_the_listener_ends_it() {
        let (stop, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
        let work = |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        };
        let listen = |i, ()| if i == 4 { Err("disk full") } else { Ok(()) };
        assert_eq!(Lanes::new(2, 1).unwrap().in_order(10_000, &stop, work, listen), Err("disk full"));
        assert!(begun.into_inner() < 1000);
    }

    #[test]
    fn lanes_are_as_many_as_cores_and_memory_allow() {
        assert_eq!(Lanes::that_fit(8, 3, 100), 8);
        assert_eq!(Lanes::that_fit(8, 30, 100), 3);
        assert_eq!(Lanes::that_fit(8, 300, 100), 1);
        assert_eq!(Lanes::that_fit(8, 1, 0), 1);
    }
}
