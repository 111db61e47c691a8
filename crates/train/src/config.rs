//! Everything that can be set about a run.

use crate::error::{Error, Result};
use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Settings of a run. Those that change its numbers are fixed for its life; the rest may change when it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Steps of the whole run. May change on resumption; rates that depend on it change with it.
    pub steps: u64,
    /// Samples a step: their gradients are averaged before the one update. Divisible by the number of ranks.
    pub batch: u64,
    /// Seed of everything drawn through [`crate::RngKey`].
    pub seed: u64,
    /// The rate after warm-up.
    pub lr: f64,
    /// What happens to it.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// AdamW's decay, a share of the rate; never for parameters of fewer than two dimensions.
    pub weight_decay: f64,
    /// AdamW's memories of the gradient and of its square.
    pub betas: (f64, f64),
    /// AdamW's ε, beside the root.
    pub eps: f64,
    /// Greatest norm of a step's mean gradient; longer ones are scaled down.
    pub clip_norm: Option<f64>,
    /// Greatest norm of one sample's gradient: AlphaFold's clipping.
    pub clip_sample_norm: Option<f64>,
    /// Memory of the averaged parameters, reached by min(`ema_decay`, (1 + n) / (10 + n)).
    pub ema_decay: f64,
    /// Numbers in which matrices are handed to the task; masters, moments and averages are f32.
    pub matrices: Matrices,
    /// Steps between checkpoints; one more is made at the end and when stopped. 0: only those.
    pub checkpoint_every: u64,
    /// Steps between validations; one more is made at the end. 0: none at all.
    pub validate_every: u64,
    /// Steps between lines of metrics.
    pub log_every: u64,
    /// Checkpoints kept; older ones are removed once a newer one is safe.
    pub keep: usize,
    /// Samples computed at once, each on one thread: faster than one on all threads where networks are small, for as many
    /// times the memory. The numbers are the same, as far as the task's do not depend on its threads. At most `batch`;
    /// one on a GPU.
    pub together: usize,
    /// Threads that prepare samples; 0: each is prepared when it is needed.
    pub workers: usize,
    /// Samples prepared ahead.
    pub prefetch: usize,
    /// Stop cleanly, with a checkpoint, after so many seconds: training in slices.
    pub max_seconds: Option<u64>,
    /// Resume even if fixed settings or the order have changed.
    pub accept_changes: bool,
    /// What the caller wants kept in every checkpoint: the model's configuration, say. Fixed like a setting.
    #[serde(skip)]
    pub about: Value,
}

/// Numbers in which matrices are handed to the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matrices {
    /// Single precision: the masters themselves.
    #[default]
    F32,
    /// bfloat16 copies; their gradients go to the masters. On a GPU operations round the masters themselves.
    Bf16,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 0,
            batch: 1,
            seed: 0,
            lr: 1e-3,
            schedule: Schedule::Constant {},
            warmup: 0,
            weight_decay: 0.0,
            betas: (0.9, 0.999),
            eps: 1e-8,
            clip_norm: None,
            clip_sample_norm: None,
            ema_decay: 0.999,
            matrices: Matrices::F32,
            checkpoint_every: 0,
            validate_every: 0,
            log_every: 1,
            keep: 2,
            together: 1,
            workers: 1,
            prefetch: 4,
            max_seconds: None,
            accept_changes: false,
            about: Value::Null,
        }
    }
}

/// Settings that say how to run, not what comes out.
const FREE: [&str; 10] = [
    "steps",
    "checkpoint_every",
    "validate_every",
    "log_every",
    "keep",
    "together",
    "workers",
    "prefetch",
    "max_seconds",
    "accept_changes",
];

impl TrainConfig {
    /// Checks every setting against its range.
    ///
    /// # Errors  [`Error::Config`] naming the first that is out of it.
    pub fn validate(&self) -> Result<()> {
        let at_least = |name: &str, value: u64, least: u64| {
            if value >= least { Ok(()) } else { Err(Error::config(name, format!("at least {least}"), value)) }
        };
        at_least("steps", self.steps, 1)?;
        at_least("batch", self.batch, 1)?;
        at_least("log_every", self.log_every, 1)?;
        at_least("keep", self.keep as u64, 1)?;
        at_least("prefetch", self.prefetch as u64, 1)?;
        if self.steps >= 1 << 32 || self.batch >= u64::from(u32::MAX) {
            return Err(Error::config("steps and batch", "below 2^32", self.steps.max(self.batch)));
        }
        at_least("together", self.together as u64, 1)?;
        if self.together > 1024 {
            return Err(Error::config("together", "at most 1024", self.together));
        }
        if self.workers > 1024 {
            return Err(Error::config("workers", "at most 1024", self.workers));
        }
        let number = |name: &str, value: f64, fits: bool, expected: &str| {
            if value.is_finite() && fits { Ok(()) } else { Err(Error::config(name, expected, value)) }
        };
        number("lr", self.lr, self.lr >= 0.0, "a number of at least 0")?;
        number("weight_decay", self.weight_decay, self.weight_decay >= 0.0, "a number of at least 0")?;
        for (name, beta) in
            [("betas[0]", self.betas.0), ("betas[1]", self.betas.1), ("ema_decay", self.ema_decay)]
        {
            number(name, beta, (0.0..1.0).contains(&beta), "at least 0 and below 1")?;
        }
        number("eps", self.eps, self.eps > 0.0, "a number above 0")?;
        for (name, clip) in [("clip_norm", self.clip_norm), ("clip_sample_norm", self.clip_sample_norm)] {
            let clip = clip.unwrap_or(1.0);
            number(name, clip, clip > 0.0, "a number above 0")?;
        }
        self.schedule.validate()
    }

    /// The rate of the step after `n` finished ones.
    pub fn rate(&self, n: u64) -> f64 {
        self.schedule.rate(self.lr, self.warmup, self.steps, n)
    }

    /// The settings that may not change on resumption, by name.
    pub(crate) fn fixed(&self) -> BTreeMap<String, Value> {
        let mut all = match serde_json::to_value(self) {
            Ok(Value::Object(all)) => all.into_iter().collect::<BTreeMap<_, _>>(),
            _ => unreachable!("a struct of plain fields"),
        };
        all.retain(|name, _| !FREE.contains(&name.as_str()));
        // Part by part, so that an error names the one that differs.
        match &self.about {
            Value::Object(parts) => {
                all.extend(parts.iter().map(|(name, part)| (format!("about.{name}"), part.clone())));
            }
            other => drop(all.insert("about".into(), other.clone())),
        }
        all
    }

    /// SHA-256 of the fixed settings, in hex.
    pub fn hash(&self) -> String {
        let text = serde_json::to_string(&self.fixed()).unwrap_or_default();
        hex(&Sha256::digest(text.as_bytes()))
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        let fault = |change: fn(&mut TrainConfig)| {
            let mut config = TrainConfig { steps: 3, ..TrainConfig::default() };
            config.validate().unwrap();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(fault(|c| c.steps = 0), "steps: expected at least 1, found 0");
        assert_eq!(fault(|c| c.betas.1 = 1.0), "betas[1]: expected at least 0 and below 1, found 1");
        assert_eq!(fault(|c| c.lr = f64::NAN), "lr: expected a number of at least 0, found NaN");
        assert_eq!(fault(|c| c.clip_norm = Some(0.0)), "clip_norm: expected a number above 0, found 0");
        assert!(fault(|c| c.schedule = Schedule::Cosine { minimum: -1.0 }).starts_with("schedule.minimum"));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = serde_json::from_str::<TrainConfig>(r#"{"stepz": 3}"#).unwrap_err().to_string();
        assert!(error.contains("stepz"), "{error}");
        let config: TrainConfig = serde_json::from_str(r#"{"steps": 3, "matrices": "bf16"}"#).unwrap();
        assert_eq!(config.matrices, Matrices::Bf16);
    }

    #[test]
    fn the_hash_is_of_what_changes_numbers() {
        let config = TrainConfig { steps: 3, ..TrainConfig::default() };
        assert_eq!(config.hash(), TrainConfig { steps: 9, workers: 7, ..config.clone() }.hash());
        assert_ne!(config.hash(), TrainConfig { lr: 0.1, ..config.clone() }.hash());
        assert_ne!(config.hash(), TrainConfig { about: "other".into(), ..config.clone() }.hash());
        let parts = TrainConfig { about: serde_json::json!({"crop": 3}), ..config };
        assert_eq!(parts.fixed()["about.crop"], 3);
    }
}
