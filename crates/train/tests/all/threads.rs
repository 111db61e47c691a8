//! Ranks as threads of one process.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use train::{Collective, Error, Result};

/// What `call` gives on each of `world` ranks, in their order.
pub fn on_ranks<T: Send>(world: usize, call: impl Fn(&dyn Collective) -> T + Sync) -> Vec<T> {
    let table = Table { lists: Mutex::default(), changed: Condvar::new() };
    std::thread::scope(|scope| {
        let one = |rank| Rank { rank, world, turn: Mutex::new(0), table: &table };
        let call = &call;
        let ranks: Vec<_> = (0..world).map(|rank| scope.spawn(move || call(&one(rank)))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// What each rank laid down in its nth call, by (call, rank).
struct Table {
    lists: Mutex<BTreeMap<(u64, usize), Vec<f64>>>,
    changed: Condvar,
}

struct Rank<'a> {
    rank: usize,
    world: usize,
    turn: Mutex<u64>,
    table: &'a Table,
}

impl Rank<'_> {
    /// Lays down `own` and waits for everyone's.
    fn swap(&self, own: Vec<f64>) -> Result<Vec<Vec<f64>>> {
        let mut turn = self.turn.lock().unwrap();
        let key = |rank| (*turn, rank);
        let mut lists = self.table.lists.lock().unwrap();
        lists.insert(key(self.rank), own);
        self.table.changed.notify_all();
        let missing = |lists: &mut BTreeMap<_, _>| (0..self.world).any(|r| !lists.contains_key(&key(r)));
        let most = Duration::from_secs(60);
        let (lists, waited) = self.table.changed.wait_timeout_while(lists, most, missing).unwrap();
        if waited.timed_out() {
            return Err(Error::Collective("a rank is lost".into()));
        }
        let all: Vec<Vec<f64>> = (0..self.world).map(|r| lists[&key(r)].clone()).collect();
        // Equal calls in equal order, or sizes would differ.
        assert!(all.iter().all(|list| list.len() == all[0].len()), "ranks make different calls");
        *turn += 1;
        Ok(all)
    }

    fn swap_f32(&self, own: &[f32]) -> Result<Vec<Vec<f32>>> {
        let all = self.swap(own.iter().map(|&v| v.into()).collect())?;
        Ok(all.into_iter().map(|list| list.into_iter().map(|v| v as f32).collect()).collect())
    }
}

impl Collective for Rank<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn all_reduce(&self, values: &mut [f64]) -> Result<()> {
        let all = self.swap(values.to_vec())?;
        for (i, value) in values.iter_mut().enumerate() {
            *value = all[1..].iter().fold(all[0][i], |sum, list| sum + list[i]);
        }
        Ok(())
    }

    fn reduce_scatter(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()> {
        let all = self.swap_f32(values)?;
        // What is not this rank's is left in a state that nobody can use.
        values.fill(f32::NAN);
        for i in pieces[self.rank].clone() {
            values[i] = all[1..].iter().fold(all[0][i], |sum, list| sum + list[i]);
        }
        Ok(())
    }

    fn all_gather(&self, values: &mut [f32], pieces: &[Range<usize>]) -> Result<()> {
        let all = self.swap_f32(values)?;
        for (piece, theirs) in pieces.iter().zip(&all) {
            values[piece.clone()].copy_from_slice(&theirs[piece.clone()]);
        }
        Ok(())
    }

    fn broadcast(&self, values: &mut [f32]) -> Result<()> {
        values.copy_from_slice(&self.swap_f32(values)?[0]);
        Ok(())
    }

    fn abort(&self, code: u8) -> ! {
        panic!("aborted with code {code}")
    }
}
