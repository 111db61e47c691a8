//! AdamW and the averaged parameters, in one pass over memory.
//! Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019; arithmetic in the order of torch's.

use crate::config::TrainConfig;
use rayon::prelude::*;
use std::ops::Range;

/// Elements a thread takes at a time.
pub(crate) const BLOCK: usize = 1 << 16;

/// State of the elements a rank keeps, one after the other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AdamW {
    /// Mean of the gradient.
    pub m: Vec<f32>,
    /// Mean of its square.
    pub v: Vec<f32>,
    /// Averaged parameters.
    pub ema: Vec<f32>,
    /// Updates made: what bias correction and the average's warm-up count.
    pub updates: u64,
}

/// Numbers of one update.
#[derive(Clone, Copy)]
struct Factors {
    /// β₂
    square: f32,
    /// 1 − β₁ and 1 − β₂, subtracted before they are rounded.
    fresh: [f32; 2],
    step: f32,
    decay: f32,
    /// 1 / √(1 − β₂ᵗ)
    root: f32,
    eps: f32,
    /// What the average keeps of itself.
    keep: f32,
    /// What gradients are multiplied by.
    scale: f32,
}

/// One stretch of all the vectors.
struct Stretch<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
    ema: &'a mut [f32],
    decays: bool,
}

impl AdamW {
    /// No moments yet; the average begins as `own`, the parameters of this rank.
    pub fn new(own: Vec<f32>) -> Self {
        Self { m: vec![0.0; own.len()], v: vec![0.0; own.len()], ema: own, updates: 0 }
    }

    /// Updates `masters` (all parameters) in this rank's `blocks` by `grads` (all, too) times `scale`.
    pub fn update(
        &mut self,
        config: &TrainConfig,
        rate: f64,
        scale: f64,
        masters: &mut [f32],
        grads: &[f32],
        blocks: &[(Range<usize>, bool)],
    ) {
        let factors = self.factors(config, rate, scale);
        self.updates += 1;
        let mut stretches = Vec::with_capacity(blocks.len());
        let (mut p, mut at) = (masters, 0);
        let (mut m, mut v, mut ema) = (&mut self.m[..], &mut self.v[..], &mut self.ema[..]);
        for (range, decays) in blocks {
            let rest = &mut std::mem::take(&mut p)[range.start - at..];
            let (head, tail) = rest.split_at_mut(range.len());
            (p, at) = (tail, range.end);
            stretches.push(Stretch {
                p: head,
                g: &grads[range.clone()],
                m: split(&mut m, range.len()),
                v: split(&mut v, range.len()),
                ema: split(&mut ema, range.len()),
                decays: *decays,
            });
        }
        stretches.into_par_iter().for_each(|s| s.update(factors));
    }

    fn factors(&self, config: &TrainConfig, rate: f64, scale: f64) -> Factors {
        let (b1, b2) = config.betas;
        let (n, t) = (self.updates as f64, self.updates as f64 + 1.0);
        Factors {
            square: b2 as f32,
            fresh: [(1.0 - b1) as f32, (1.0 - b2) as f32],
            step: (rate / (1.0 - b1.powf(t))) as f32,
            decay: (1.0 - rate * config.weight_decay) as f32,
            root: (1.0 / (1.0 - b2.powf(t)).sqrt()) as f32,
            eps: config.eps as f32,
            keep: config.ema_decay.min((1.0 + n) / (10.0 + n)) as f32,
            scale: scale as f32,
        }
    }
}

/// Takes the first `len` elements off `rest`.
fn split<'a>(rest: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    let (head, tail) = std::mem::take(rest).split_at_mut(len);
    *rest = tail;
    head
}

impl Stretch<'_> {
    fn update(self, f: Factors) {
        let decay = if self.decays { f.decay } else { 1.0 };
        let n = self.p.len();
        // Equal lengths, said once: the loop below then needs no checks and is vectorised.
        let (p, g, m, v, ema) =
            (&mut self.p[..n], &self.g[..n], &mut self.m[..n], &mut self.v[..n], &mut self.ema[..n]);
        for i in 0..n {
            let grad = g[i] * f.scale;
            m[i] += f.fresh[0] * (grad - m[i]);
            v[i] = f.square * v[i] + f.fresh[1] * grad * grad;
            p[i] = p[i] * decay - f.step * (m[i] / (v[i].sqrt() * f.root + f.eps));
            ema[i] = p[i] + f.keep * (ema[i] - p[i]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> TrainConfig {
        TrainConfig { weight_decay: 0.1, betas: (0.9, 0.99), eps: 1e-6, ema_decay: 0.2, ..Default::default() }
    }

    /// One step by hand: m = 0.1 g and v = 0.01 g², so with bias correction the step is lr·g / (|g| + ε).
    #[test]
    fn first_step_by_hand() {
        let mut masters = vec![1.0, -2.0, 3.0];
        let mut adam = AdamW::new(masters.clone());
        let blocks = [(0..2, true), (2..3, false)];
        adam.update(&config(), 0.5, 2.0, &mut masters, &[0.25, -4.0, 1.0], &blocks);
        // decay 1 - 0.5·0.1 = 0.95 for the first two; then ∓ 0.5; ε is 1e-6 of at most 0.5.
        for (got, expected) in masters.iter().zip([0.95 - 0.5, -1.9 + 0.5, 2.5]) {
            assert!((got - expected).abs() < 3e-6, "{masters:?}");
        }
        assert!((adam.m[0] - 0.05).abs() < 1e-8 && (adam.v[1] - 0.64).abs() < 1e-6, "{adam:?}");
        // The average keeps 1 / 10 of itself at first.
        assert!((adam.ema[2] - (0.1 * 3.0 + 0.9 * masters[2])).abs() < 1e-6);
        assert_eq!(adam.updates, 1);
    }

    /// Five steps of `torch.optim.AdamW` of torch 1.13.1 on the CPU: a matrix [2, 3] with weight decay 0.1 and a bias [2]
    /// without; lr 0.02, betas (0.9, 0.95), eps 1e-6; the gradient of element i (through the matrix, then the bias) at
    /// step t is ((37 i + 11 t) mod 23) / 8 − 1.25; `clip_grad_norm_(…, 1.0)` before step 3 only, of norm 2.24652505.
    #[test]
    #[allow(clippy::excessive_precision)] // as torch prints them
    fn five_steps_are_torchs() {
        let mut masters = vec![0.5, -1.25, 2.0, 0.03125, 3.0, -0.75, 0.25, -0.5];
        let config =
            TrainConfig { weight_decay: 0.1, betas: (0.9, 0.95), eps: 1e-6, ..TrainConfig::default() };
        let mut adam = AdamW::new(masters.clone());
        let close = |got: &[f32], expected: [f32; 8]| {
            for (got, expected) in got.iter().zip(expected) {
                let limit = 4.0 * f32::EPSILON * expected.abs().max(0.3);
                assert!((got - expected).abs() <= limit, "{got} {expected}");
            }
        };
        for t in 0..5 {
            let grads: Vec<f32> = (0..8).map(|i| ((37 * i + 11 * t) % 23) as f32 / 8.0 - 1.25).collect();
            let norm = crate::gradients::sum_of_squares(&grads).sqrt();
            let scale = crate::gradients::clip(norm, (t == 3).then_some(1.0));
            assert!(t != 3 || (norm - 2.246_525_05).abs() < 1e-6, "{norm}");
            adam.update(&config, 0.02, scale, &mut masters, &grads, &[(0..6, true), (6..8, false)]);
            if t == 0 {
                let first = [
                    0.518999994,
                    -1.26750004,
                    2.01600003,
                    0.0111875162,
                    2.99399996,
                    -0.728500009,
                    0.230000034,
                    -0.480000049,
                ];
                close(&masters, first);
            }
        }
        let last = [
            0.511202037,
            -1.24077725,
            2.01311541,
            -0.030825479,
            2.92454934,
            -0.686606646,
            0.232970998,
            -0.479836136,
        ];
        let mean = [
            0.186100006,
            -0.0297895875,
            -0.109542586,
            0.194942832,
            0.115189813,
            -0.00182849541,
            0.015156894,
            -0.0645961091,
        ];
        let square = [
            0.260365605,
            0.0744325295,
            0.107362524,
            0.143330589,
            0.0995846763,
            0.237377137,
            0.0764539614,
            0.0940487832,
        ];
        close(&masters, last);
        close(&adam.m, mean);
        close(&adam.v, square);
    }

    #[test]
    fn blocks_do_not_change_the_result() {
        let (n, config) = (1000, config());
        let values = |s: f32| (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) * s).collect::<Vec<f32>>();
        let run = |blocks: &[(Range<usize>, bool)]| {
            let mut masters = values(0.1);
            let mut adam = AdamW::new(masters.clone());
            for _ in 0..3 {
                adam.update(&config, 0.01, 1.0, &mut masters, &values(0.3), blocks);
            }
            (masters, adam)
        };
        let small: Vec<_> = (0..n).step_by(7).map(|i| (i..(i + 7).min(n), true)).collect();
        assert_eq!(run(&[(0..n, true)]), run(&small));
    }

    #[test]
    fn a_rank_touches_its_pieces_only() {
        let mut masters = vec![1.0; 10];
        let mut adam = AdamW::new(vec![1.0; 4]);
        adam.update(&config(), 0.1, 1.0, &mut masters, &[1.0; 10], &[(2..4, true), (7..9, true)]);
        let touched: Vec<bool> = masters.iter().map(|&v| v != 1.0).collect();
        assert_eq!(touched, [false, false, true, true, false, false, false, true, true, false]);
    }

    #[test]
    fn the_average_warms_up_to_its_decay() {
        let config = TrainConfig { ema_decay: 0.5, ..config() };
        let mut adam = AdamW::new(vec![0.0]);
        let keep = |adam: &AdamW| adam.factors(&config, 0.1, 1.0).keep;
        for (n, expected) in [(0, 0.1), (1, 2.0 / 11.0), (5, 0.4), (8, 0.5), (100, 0.5)] {
            adam.updates = n;
            assert!((keep(&adam) - expected).abs() < 1e-6, "{n}");
        }
    }
}
