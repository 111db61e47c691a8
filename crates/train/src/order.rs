//! Which sample comes when: pure functions of a position, so that a run is resumed by a number.

use crate::error::{Error, Result};
use crate::philox::{RngKey, philox4x32};
use sha2::{Digest, Sha256};

/// The order in which samples are seen.
pub trait Order: Send + Sync {
    /// The sample at `position`, counted from the start of the run.
    fn index(&self, position: u64) -> u64;

    /// Tells orders apart: kept in checkpoints, and compared when a run is resumed.
    fn hash(&self) -> u64;
}

/// Every sample once an epoch, each epoch in an order of its own.
#[derive(Clone, Debug)]
pub struct Permutation {
    len: u64,
    seed: u64,
    /// Bits of one half of an index in the Feistel network.
    half: u32,
}

impl Permutation {
    /// An order of `len` samples.
    ///
    /// # Errors  If there are none, or more than 2⁶².
    pub fn new(len: u64, seed: u64) -> Result<Self> {
        if len == 0 || len > 1 << 62 {
            return Err(Error::config("order", "between 1 and 2^62 samples", len));
        }
        let bits = u64::BITS - (len - 1).leading_zeros();
        Ok(Self { len, seed, half: bits.div_ceil(2).max(1) })
    }

    /// A bijection of the indices of 2·half bits: four rounds of a Feistel network keyed by the epoch.
    fn mix(&self, epoch: u64, index: u64) -> u64 {
        let mask = (1u64 << self.half) - 1;
        let (mut left, mut right) = (index >> self.half, index & mask);
        for round in 0..4 {
            let counter = [right as u32, (epoch as u32), ((epoch >> 32) as u32), round];
            let word = philox4x32(counter, [self.seed as u32, (self.seed >> 32) as u32])[0];
            (left, right) = (right, left ^ (u64::from(word) & mask));
        }
        left << self.half | right
    }
}

impl Order for Permutation {
    fn index(&self, position: u64) -> u64 {
        let (epoch, mut index) = (position / self.len, position % self.len);
        // Walk along the cycle until the index is one of ours: at most four steps on average.
        loop {
            index = self.mix(epoch, index);
            if index < self.len {
                return index;
            }
        }
    }

    fn hash(&self) -> u64 {
        digest("permutation", &[self.len, self.seed])
    }
}

/// Samples drawn with replacement in proportion to their weights.
#[derive(Clone, Debug)]
pub struct Weighted {
    seed: u64,
    /// For each sample the probability to keep it when it is hit, and who is taken otherwise (Walker's alias table).
    table: Vec<(f64, u64)>,
    hash: u64,
}

impl Weighted {
    /// Sample i comes in a share `weights[i]` / Σ `weights` of all positions.
    ///
    /// # Errors  If a weight is negative or not finite, or all are zero.
    pub fn new(weights: &[f64], seed: u64) -> Result<Self> {
        if let Some((i, w)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.0) {
            return Err(Error::config(format!("order: weight {i}"), "a number of at least 0", w));
        }
        let total: f64 = weights.iter().sum();
        if !total.is_finite() || total <= 0.0 {
            return Err(Error::config("order", "weights with a finite sum above 0", total));
        }
        let n = weights.len();
        let mut share: Vec<f64> = weights.iter().map(|w| w / total * n as f64).collect();
        let mut table: Vec<(f64, u64)> = (0..n as u64).map(|i| (1.0, i)).collect();
        let (mut small, mut large): (Vec<_>, Vec<_>) = (0..n).partition(|&i| share[i] < 1.0);
        while let (Some(&s), Some(&l)) = (small.last(), large.last()) {
            small.pop();
            table[s] = (share[s], l as u64);
            share[l] -= 1.0 - share[s];
            if share[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        // What rounding left over: a weight of zero must never be drawn.
        let heaviest = (0..n).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap_or(0);
        for &s in small.iter().filter(|&&s| weights[s] == 0.0) {
            table[s] = (0.0, heaviest as u64);
        }
        let words: Vec<u64> = std::iter::once(seed).chain(weights.iter().map(|w| w.to_bits())).collect();
        Ok(Self { seed, table, hash: digest("weighted", &words) })
    }
}

impl Order for Weighted {
    fn index(&self, position: u64) -> u64 {
        // A key of its own kind: a step number has no upper half, a position may.
        let mut draw = RngKey::new(self.seed, position, (position >> 32) as u32).site(u32::MAX);
        let hit = draw.below(self.table.len() as u64);
        let (keep, other) = self.table[hit as usize];
        if draw.f64() < keep { hit } else { other }
    }

    fn hash(&self) -> u64 {
        self.hash
    }
}

/// The first eight bytes of a SHA-256 over a kind and its numbers.
pub fn digest(kind: &str, words: &[u64]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(kind.as_bytes());
    for word in words {
        hash.update(word.to_le_bytes());
    }
    let bytes = hash.finalize();
    u64::from_le_bytes(std::array::from_fn(|i| bytes[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_is_a_permutation_of_its_own() {
        for len in [1, 2, 3, 17, 100, 1000, 4097] {
            let order = Permutation::new(len, 5).unwrap();
            let epoch = |e: u64| (e * len..(e + 1) * len).map(|p| order.index(p)).collect::<Vec<_>>();
            let first = epoch(0);
            let mut sorted = first.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..len).collect::<Vec<_>>());
            assert_eq!(first, epoch(0));
            if len >= 17 {
                assert_ne!(first, sorted);
                assert_ne!(first, epoch(1));
                let other = Permutation::new(len, 6).unwrap();
                assert_ne!(first, (0..len).map(|p| other.index(p)).collect::<Vec<_>>());
            }
        }
        assert!(Permutation::new(0, 1).is_err());
    }

    #[test]
    fn a_permutation_has_no_drift() {
        // The mean place of each third of the samples is the middle, over epochs.
        let (len, epochs) = (300, 200);
        let order = Permutation::new(len, 3).unwrap();
        let mut sums = [0.0f64; 3];
        for p in 0..len * epochs {
            sums[(order.index(p) / 100) as usize] += (p % len) as f64;
        }
        for sum in sums {
            let mean = sum / (100 * epochs) as f64;
            // Standard error of the mean of 20,000 places: 0.6.
            assert!((mean - 149.5).abs() < 3.0, "{mean}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let weights = [0.0, 1.0, 2.0, 0.5, 0.0, 4.5, 0.0];
        let order = Weighted::new(&weights, 9).unwrap();
        let n = 80_000;
        let mut counts = [0.0f64; 7];
        for p in 0..n {
            counts[order.index(p) as usize] += 1.0;
            assert_eq!(order.index(p), order.index(p));
        }
        for (count, weight) in counts.iter().zip(weights) {
            let expected: f64 = weight / 8.0 * n as f64;
            assert!((count - expected).abs() <= 4.0 * expected.sqrt(), "{counts:?}");
        }
        let again = |o: &Weighted| (0..50).map(|p| o.index(p)).collect::<Vec<_>>();
        assert_ne!(again(&order), again(&Weighted::new(&weights, 10).unwrap()));
    }

    #[test]
    fn weights_are_checked_and_hashed() {
        assert!(Weighted::new(&[], 1).is_err());
        assert!(Weighted::new(&[0.0, 0.0], 1).is_err());
        let text = Weighted::new(&[1.0, -1.0], 1).unwrap_err().to_string();
        assert_eq!(text, "order: weight 1: expected a number of at least 0, found -1");
        let hash = |w: &[f64], seed| Weighted::new(w, seed).unwrap().hash();
        assert_eq!(hash(&[1.0, 2.0], 1), hash(&[1.0, 2.0], 1));
        assert_ne!(hash(&[1.0, 2.0], 1), hash(&[2.0, 1.0], 1));
        assert_ne!(hash(&[1.0, 2.0], 1), hash(&[1.0, 2.0], 2));
        assert_ne!(Permutation::new(3, 1).unwrap().hash(), Permutation::new(4, 1).unwrap().hash());
    }
}
