//! SplitMix64 (Steele, Lea, Flood 2014): one seed makes all draws of a sample, a parameter or a baseline.

/// The generator; its number is the seed.
pub(crate) struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In (0, 1).
    pub fn open_uniform(&mut self) -> f32 {
        ((self.next() >> 41) as f32 + 0.5) / (1u64 << 23) as f32
    }

    /// Standard normal within ±2, by Box and Muller.
    pub fn truncated_normal(&mut self) -> f32 {
        loop {
            let radius = (-2.0 * self.open_uniform().ln()).sqrt();
            let x = radius * (std::f32::consts::TAU * self.open_uniform()).cos();
            if x.abs() <= 2.0 {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_are_those_of_the_reference() {
        // Of the authors' C code with seed 1234567.
        let mut random = Random(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_cut_normal_has_the_variance_it_should() {
        let mut random = Random(3);
        let n = 40_000;
        let x: Vec<f32> = (0..n).map(|_| random.truncated_normal()).collect();
        let mean = x.iter().sum::<f32>() / n as f32;
        let std = (x.iter().map(|v| v * v).sum::<f32>() / n as f32).sqrt();
        assert!(mean.abs() < 0.02 && (std - 0.879_625_7).abs() < 0.01, "{mean} {std}");
    }
}
