//! TensorFlow's random numbers: Philox-4x32-10 (Salmon et al., SC 2011), keyed by graph and operation seed.
//!
//! AlphaFold draws rows and masks with TensorFlow operations. Each operation of a graph gets the seed
//! (graph seed, number of the operation); a repetition of the operation inside `map_fn` skips the counter
//! ahead by what earlier repetitions reserved. Any number can be had without those before it, so results
//! do not depend on threads. Sources: TensorFlow `core/lib/random/philox_random.h`,
//! `random_distributions_utils.h`, `core/kernels/stateless_random_ops.cc`, `python/framework/random_seed.py`.

/// Modulus that TensorFlow applies to seeds.
const MAX_INT32: u64 = (1 << 31) - 1;

/// One operation's stream of 32-bit words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    key: [u32; 2],
    high: [u32; 2], // upper half of the counter
}

impl Stream {
    /// The stream of a stateful operation. The pair (0, 0) means "unseeded" there and is replaced.
    fn stateful(graph_seed: u64, op_seed: u64) -> Self {
        let (graph, op) = match (graph_seed % MAX_INT32, op_seed % MAX_INT32) {
            (0, 0) => (0, MAX_INT32),
            seeds => seeds,
        };
        Stream { key: halves(graph), high: halves(op) }
    }

    /// The stream of a stateless operation: key and counter come from encrypting the seed pair once.
    pub(crate) fn stateless(seed: [i32; 2]) -> Self {
        let [a, b] = seed.map(|s| halves(i64::from(s) as u64));
        let mix = encrypt([0x3ec8_f720, 0x0246_1e29], [a[0], a[1], b[0], b[1]]);
        Stream { key: [mix[0], mix[1]], high: [mix[2], mix[3]] }
    }

    /// Block `index` of four words.
    pub(crate) fn block(&self, index: u64) -> [u32; 4] {
        let [low, carry] = halves(index);
        encrypt(self.key, [low, carry, self.high[0], self.high[1]])
    }

    /// Word `index` counted from block `start`.
    pub(crate) fn word(&self, start: u64, index: usize) -> u32 {
        self.block(start.wrapping_add(index as u64 / 4))[index % 4]
    }

    /// Word `index` as a real number in \[0, 1): its 23 low bits are the mantissa.
    pub(crate) fn float(&self, start: u64, index: usize) -> f32 {
        f32::from_bits(0x3f80_0000 | (self.word(start, index) & 0x7f_ffff)) - 1.0
    }

    /// Words 2·`index` and 2·`index` + 1 as a real number in \[0, 1) of 52 bits.
    pub(crate) fn double(&self, start: u64, index: usize) -> f64 {
        let block = self.block(start.wrapping_add(index as u64 / 2));
        let (high, low) = if index.is_multiple_of(2) { (block[0], block[1]) } else { (block[2], block[3]) };
        let mantissa = (u64::from(high & 0xf_ffff) << 32) | u64::from(low);
        f64::from_bits((1023 << 52) | mantissa) - 1.0
    }

    /// Word `index` as a whole number in `low..high`, by remainder.
    pub(crate) fn integer(&self, start: u64, index: usize, low: i32, high: i32) -> i32 {
        let range = high.wrapping_sub(low) as u32;
        low.wrapping_add((self.word(start, index) % range.max(1)) as i32)
    }
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

/// Ten rounds of Philox-4x32.
fn encrypt(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        let [low0, high0] = halves(u64::from(counter[0]) * 0xd251_1f53);
        let [low1, high1] = halves(u64::from(counter[2]) * 0xcd9e_8d57);
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
    }
    counter
}

/// Hands the operations of one graph their streams, in the order the graph was built.
#[derive(Debug, Clone)]
pub(crate) struct Operations {
    graph_seed: u64,
    next: u64,
    repetition: u64,
}

impl Operations {
    /// Operations from number `first` on; `repetition` counts how often `map_fn` ran them before.
    pub(crate) fn new(graph_seed: u64, first: u64, repetition: u64) -> Self {
        Operations { graph_seed, next: first, repetition }
    }

    /// The stream of the next operation.
    fn next(&mut self) -> Stream {
        let stream = Stream::stateful(self.graph_seed, self.next);
        self.next += 1;
        stream
    }

    /// `tf.random.uniform` over `count` elements: stream and first block.
    pub(crate) fn uniform(&mut self, count: usize) -> (Stream, u64) {
        let start = self.repetition.wrapping_mul(count as u64).wrapping_mul(256);
        (self.next(), start)
    }

    /// `tf.random.categorical` with one sample for each of `rows` rows: stream and first block.
    pub(crate) fn categorical(&mut self, rows: usize) -> (Stream, u64) {
        let start = self.repetition.wrapping_mul(rows as u64).wrapping_mul(8 * 256);
        (self.next(), start)
    }

    /// `tf.random_shuffle`: Fisher–Yates from the front, element i swapped with one of those from i on.
    pub(crate) fn shuffle(&mut self, items: &mut [u32]) {
        let stream = self.next();
        let n = items.len();
        if n <= 1 {
            return;
        }
        let start = self.repetition.wrapping_mul((n as u64 - 1).div_ceil(4));
        for first in (0..n - 1).step_by(4) {
            let words = stream.block(start.wrapping_add(first as u64 / 4));
            for (i, word) in (first..n - 1).zip(words) {
                items.swap(i, i + word as usize % (n - i));
            }
        }
    }
}

/// `random_crop_to_size_seed`: drawn with operation seed 0, whatever came before.
pub(crate) fn crop_seed(graph_seed: u64) -> [i32; 2] {
    let stream = Stream::stateful(graph_seed, 0);
    [0, 1].map(|i| stream.integer(0, i, i32::MIN, i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // Random123 `kat_vectors`, philox4x32 10 rounds.
        assert_eq!(encrypt([0; 2], [0; 4]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(encrypt([!0; 2], [!0; 4]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
        let (key, counter) = ([0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]);
        assert_eq!(encrypt(key, counter), [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
    }

    #[test]
    fn numbers_stay_in_their_ranges() {
        let stream = Stream::stateful(17, 3);
        let mut sum = 0.0;
        for i in 0..4001 {
            assert!((0.0..1.0).contains(&stream.float(5, i)));
            let double = stream.double(5, i);
            assert!((0.0..1.0).contains(&double));
            sum += double;
            assert!((-7..11).contains(&stream.integer(5, i, -7, 11)));
        }
        assert!((sum / 4001.0 - 0.5).abs() < 0.02, "mean {}", sum / 4001.0);
    }

    #[test]
    fn shuffle_permutes_and_repetitions_differ() {
        let shuffled = |repetition| {
            let mut items: Vec<u32> = (0..103).collect();
            Operations::new(5, 0, repetition).shuffle(&mut items);
            items
        };
        let (first, second) = (shuffled(0), shuffled(1));
        assert_ne!(first, second);
        assert_eq!(first, shuffled(0));
        for mut items in [first, second] {
            items.sort_unstable();
            assert!(items.iter().enumerate().all(|(i, v)| i as u32 == *v));
        }
    }

    #[test]
    fn seed_zero_is_replaced_only_with_operation_zero() {
        assert_eq!(Stream::stateful(0, 0), Stream { key: [0, 0], high: [0x7fff_ffff, 0] });
        assert_eq!(Stream::stateful(0, 1).high, [1, 0]);
        assert_eq!(Stream::stateful(MAX_INT32 + 9, 0).key, [9, 0]);
    }
}
