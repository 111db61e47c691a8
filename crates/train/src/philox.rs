//! Random numbers by counter: what is drawn depends on where it is drawn, never on what was drawn before.
//! Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

/// Ten rounds of Philox on four words.
pub fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let a = u64::from(counter[0]) * 0xD251_1F53;
        let b = u64::from(counter[2]) * 0xCD9E_8D57;
        let (a, b) = ([(a >> 32) as u32, a as u32], [(b >> 32) as u32, b as u32]);
        counter = [b[0] ^ counter[1] ^ key[0], b[1], a[0] ^ counter[3] ^ key[1], a[1]];
        key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
    }
    counter
}

/// Where in a run something is drawn: seed, step and sample of the step. The same on every rank, in every thread
/// and after every resumption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RngKey {
    seed: u64,
    step: u64,
    micro: u32,
}

impl RngKey {
    /// The sample number of draws that all samples of a step share.
    const SHARED: u32 = u32::MAX;

    /// Sample `micro` of step `step`. Steps are told apart below 2³².
    pub fn new(seed: u64, step: u64, micro: u32) -> Self {
        Self { seed, step, micro }
    }

    /// What all samples of the step agree on, on every rank: the number of recycles, say.
    pub fn of_step(self) -> Self {
        Self { micro: Self::SHARED, ..self }
    }

    /// The seed of the run.
    pub fn seed(self) -> u64 {
        self.seed
    }

    /// The step.
    pub fn step(self) -> u64 {
        self.step
    }

    /// The sample of the step.
    pub fn micro(self) -> u32 {
        self.micro
    }

    /// A stream of its own for each place `site` that draws.
    // Inlined, two streams of one key can become one in rustc 1.95: a closure that takes the first by value advances the
    // second (rust-lang/rust#155241; `every_part_of_a_key_matters` fails then).
    #[inline(never)]
    pub fn site(self, site: u32) -> Stream {
        let counter = [0, site, self.micro, self.step as u32];
        Stream { key: [self.seed as u32, (self.seed >> 32) as u32], counter, words: [0; 4], left: 0 }
    }
}

/// A stream of random numbers; a copy goes on like its original.
#[derive(Clone, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    left: usize,
}

impl Stream {
    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        if self.left == 0 {
            self.words = philox4x32(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.left = 4;
        }
        self.left -= 1;
        self.words[3 - self.left]
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    pub fn f32(&mut self) -> f32 {
        (self.u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in [0, 1), a multiple of 2⁻⁵³.
    pub fn f64(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..`n`, without bias.
    ///
    /// # Panics  if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a number below 0");
        // Draws beyond the last whole multiple of n are drawn again.
        let last = u64::MAX - (u64::MAX % n + 1) % n;
        loop {
            let draw = self.u64();
            if draw <= last {
                return draw % n;
            }
        }
    }

    /// Normal with mean 0 and variance 1 (Box and Muller; one of the pair is given away).
    pub fn normal(&mut self) -> f64 {
        // 1 - u lies in (0, 1]: its logarithm is finite.
        let radius = (-2.0 * (1.0 - self.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.f64()).cos()
    }

    /// True with probability `p`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.f64() < p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of Random123, lines `philox4x32 10`.
    #[test]
    fn published_vectors() {
        let (pi, key) = ([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]);
        for (counter, key, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (pi, key, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ] {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn every_part_of_a_key_matters() {
        let key = RngKey::new(11 << 32 | 5, 7, 3);
        let first = |mut s: Stream| [s.u32(), s.u32(), s.u32(), s.u32(), s.u32()];
        let draws = [
            first(key.site(0)),
            first(key.site(1)),
            first(key.of_step().site(0)),
            first(RngKey::new(5, 7, 3).site(0)),
            first(RngKey::new(11 << 32, 7, 3).site(0)),
            first(RngKey::new(11 << 32 | 5, 8, 3).site(0)),
            first(RngKey::new(11 << 32 | 5, 7, 4).site(0)),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| a != b), "{i}");
        }
        assert_eq!(first(key.site(0)), draws[0]);
        assert_ne!(draws[0][..4], [draws[0][4]; 4]);
    }

    #[test]
    fn numbers_have_their_distributions() {
        let mut s = RngKey::new(1, 2, 3).site(4);
        let n = 40_000;
        let normal: Vec<f64> = (0..n).map(|_| s.normal()).collect();
        let mean = normal.iter().sum::<f64>() / f64::from(n);
        let variance = normal.iter().map(|v| v * v).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.04, "{mean} {variance}");
        let heads = (0..n).filter(|_| s.bernoulli(0.3)).count();
        assert!((heads as f64 / f64::from(n) - 0.3).abs() < 0.01, "{heads}");
        let mut counts = [0i32; 7];
        for _ in 0..n {
            counts[s.below(7) as usize] += 1;
            assert!((0.0..1.0).contains(&s.f32()));
        }
        assert!(counts.iter().all(|&c| (c - n / 7).abs() < 400), "{counts:?}");
        assert_eq!(s.below(1), 0);
    }
}
