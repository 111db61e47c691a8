//! Damaged inputs for tests: seeded flips, cuts, repeats and overwrites of valid bytes.

/// A small generator (xorshift64*), the same on every machine.
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// One damaged copy of `valid`.
pub(crate) fn damaged(valid: &[u8], random: &mut Random) -> Vec<u8> {
    let mut data = valid.to_vec();
    for _ in 0..1 + random.below(4) {
        if data.is_empty() {
            break;
        }
        let at = random.below(data.len());
        match random.below(6) {
            0 => data[at] ^= 1 << random.below(8),
            1 => data[at] = random.next() as u8,
            2 => data.truncate(at),
            3 => {
                let end = (at + 1 + random.below(16)).min(data.len());
                data.drain(at..end);
            }
            4 => {
                let end = (at + 1 + random.below(16)).min(data.len());
                let piece = data[at..end].to_vec();
                data.splice(at..at, piece);
            }
            _ => {
                let extreme = [0u8, 0xff, 0x7f, 0x80][random.below(4)];
                let end = (at + 1 + random.below(8)).min(data.len());
                data[at..end].fill(extreme);
            }
        }
    }
    data
}
