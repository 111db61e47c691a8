//! Learning rates: a factor of the base rate for each step.
//!
//! `n` counts finished steps, so the first step has n = 0. Warm-up gives the step the share (n + 1) / warm-up, so that the
//! first one is not wasted; `cosine_neox_v1` gives n / warm-up, as the code it repeats.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the learning rate changes after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The base rate to the end.
    Constant {},
    /// AlphaFold 2 (Suppl. 1.11.3): constant, then times `factor` from step `drop_at` on; the paper has 0.95 after
    /// 6.4 million samples. Ends with a decay to zero over the last `decay` steps, if any.
    Af2 {
        /// The step of the drop; none if absent.
        #[serde(default)]
        drop_at: Option<u64>,
        /// What the rate is multiplied by then.
        #[serde(default = "af2_factor")]
        factor: f64,
        /// Steps of the final decay.
        #[serde(default)]
        decay: u64,
        /// Its shape.
        #[serde(default)]
        shape: Decay,
    },
    /// Half a cosine from the base rate at the end of warm-up to `minimum` at the last step.
    Cosine {
        /// The last rate.
        minimum: f64,
    },
    /// GPT-NeoX 1.0's, which trained Pythia: the cosine's period ignores warm-up, and `minimum` cuts it off.
    CosineNeoxV1 {
        /// The least rate.
        minimum: f64,
    },
}

/// Shape of a final decay to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// A straight line.
    #[default]
    Linear,
    /// Half a cosine.
    Cosine,
}

fn af2_factor() -> f64 {
    0.95
}

impl Schedule {
    /// The rate of the step after `n` finished ones, of a run of `steps` whose first `warmup` warm up to `base`.
    pub fn rate(&self, base: f64, warmup: u64, steps: u64, n: u64) -> f64 {
        if let Self::CosineNeoxV1 { minimum } = *self {
            let it = n.min(steps.saturating_sub(warmup)) as f64;
            if warmup > 0 && n <= warmup {
                return base * it / warmup as f64;
            }
            let angle = std::f64::consts::PI * (it - warmup as f64) / steps as f64;
            return (base / 2.0 * (angle.cos() + 1.0)).max(minimum);
        }
        if n < warmup {
            return base * (n + 1) as f64 / warmup as f64;
        }
        match *self {
            Self::Constant {} | Self::CosineNeoxV1 { .. } => base,
            Self::Af2 { drop_at, factor, decay, shape } => {
                let rate = if drop_at.is_some_and(|at| n >= at) { base * factor } else { base };
                let left = steps.saturating_sub(n);
                if left > decay { rate } else { rate * shape.at(left as f64 / (decay + 1) as f64) }
            }
            Self::Cosine { minimum } => {
                let span = steps.saturating_sub(warmup).saturating_sub(1).max(1) as f64;
                let done = ((n - warmup) as f64 / span).min(1.0);
                minimum + (base - minimum) * Decay::Cosine.at(1.0 - done)
            }
        }
    }

    /// # Errors  If a setting is out of range.
    pub(crate) fn validate(&self) -> Result<()> {
        let (name, value) = match *self {
            Self::Constant {} => return Ok(()),
            Self::Af2 { factor, .. } => ("schedule.factor", factor),
            Self::Cosine { minimum } | Self::CosineNeoxV1 { minimum } => ("schedule.minimum", minimum),
        };
        if value.is_finite() && value >= 0.0 {
            return Ok(());
        }
        Err(Error::config(name, "a number of at least 0", value))
    }
}

impl Decay {
    /// From 1 to 0 as what is `left` goes from 1 to 0.
    fn at(self, left: f64) -> f64 {
        match self {
            Self::Linear => left,
            Self::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * left).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }

    #[test]
    fn af2_warms_up_drops_and_decays() {
        let s = Schedule::Af2 { drop_at: Some(50), factor: 0.95, decay: 4, shape: Decay::Linear };
        let rate = |n| s.rate(1e-3, 10, 100, n);
        close(rate(0), 1e-4);
        close(rate(8), 9e-4);
        close(rate(9), 1e-3);
        close(rate(49), 1e-3);
        close(rate(50), 9.5e-4);
        close(rate(95), 9.5e-4);
        close(rate(96), 9.5e-4 * 0.8);
        close(rate(99), 9.5e-4 * 0.2);
        let s = Schedule::Af2 { drop_at: None, factor: 0.95, decay: 3, shape: Decay::Cosine };
        close(s.rate(2.0, 0, 10, 6), 2.0);
        close(s.rate(2.0, 0, 10, 8), 1.0);
    }

    #[test]
    fn cosine_reaches_its_minimum() {
        let s = Schedule::Cosine { minimum: 0.1 };
        let rate = |n| s.rate(1.0, 5, 26, n);
        close(rate(4), 1.0);
        close(rate(5), 1.0);
        close(rate(15), 0.55);
        close(rate(25), 0.1);
        close(rate(400), 0.1);
    }

    /// Numbers of `AnnealingLR.get_lr` of GPT-NeoX v1.0, start_lr 6e-4, min_lr 6e-5, warm-up 10, end 1000.
    #[test]
    fn neox_v1_repeats_its_code() {
        let s = Schedule::CosineNeoxV1 { minimum: 6e-5 };
        let rate = |n| s.rate(6e-4, 10, 1000, n);
        close(rate(0), 0.0);
        close(rate(5), 3e-4);
        close(rate(10), 6e-4);
        close(rate(11), 3e-4 * ((std::f64::consts::PI / 1000.0).cos() + 1.0));
        close(rate(510), 3e-4);
        // The iteration stops counting at end - warm-up: the cosine ends short of its period, above zero.
        close(rate(700), 3e-4 * ((std::f64::consts::PI * 0.69).cos() + 1.0));
        close(rate(990), 6e-5);
        let low = Schedule::CosineNeoxV1 { minimum: 0.0 };
        assert_eq!(low.rate(6e-4, 10, 1000, 999), low.rate(6e-4, 10, 1000, 990));
        assert!(low.rate(6e-4, 10, 1000, 999) > 0.0);
    }

    #[test]
    fn json_names_the_kind_and_refuses_the_unknown() {
        let s: Schedule = serde_json::from_str(r#"{"kind": "af2", "drop_at": 7}"#).unwrap();
        assert_eq!(s, Schedule::Af2 { drop_at: Some(7), factor: 0.95, decay: 0, shape: Decay::Linear });
        assert!(
            serde_json::from_str::<Schedule>(r#"{"kind": "cosine", "minimum": 0.1, "warm": 3}"#).is_err()
        );
        assert!(Schedule::Cosine { minimum: -1.0 }.validate().is_err());
    }
}
