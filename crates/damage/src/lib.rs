//! For tests: valid texts with bytes changed, cut, doubled and spliced, the same ones on every machine. A parser must never
//! panic on them, and what it then returns must still be consistent.
//!
//! **Invariant:** uses only std; no crate depends on it but for its tests.

/// xorshift64*; Marsaglia 2003, Vigna 2016.
pub struct Random(u64);

impl Random {
    /// From a seed, not 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of 0 … n − 1; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

/// How a format's texts are damaged.
pub struct Damage {
    /// Bytes that mean something in the format.
    pub telling: &'static [u8],
    /// Changes of one text at most.
    pub changes: usize,
    /// One in so many cuts is made; formats that a cut always breaks are cut less often.
    pub cut: usize,
}

/// The longest piece that is put elsewhere.
const PIECE: usize = 60;

impl Damage {
    /// A damaged copy.
    pub fn of(&self, valid: &[u8], random: &mut Random) -> Vec<u8> {
        let mut bytes = valid.to_vec();
        for _ in 0..=random.below(self.changes) {
            let at = random.below(bytes.len());
            match random.below(7) {
                0 if random.below(self.cut) == 0 => bytes.truncate(at),
                1 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
                2 => bytes.insert(at, self.telling[random.below(self.telling.len())]),
                3 if !bytes.is_empty() => drop(bytes.remove(at)),
                4 => {
                    // A whole line again, somewhere else.
                    let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
                    let line = lines.get(random.below(lines.len())).map_or(Vec::new(), |line| line.to_vec());
                    bytes.splice(at..at, line);
                }
                5 => {
                    let piece = bytes[at..(at + random.below(PIECE)).min(bytes.len())].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ if !bytes.is_empty() => bytes[at] = self.telling[random.below(self.telling.len())],
                _ => {}
            }
        }
        bytes
    }
}
