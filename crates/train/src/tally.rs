//! What a run keeps in mind between lines of metrics, and whether it still gets anywhere.

use crate::collective::{Collective, all_texts};
use crate::error::{Error, Result};
use crate::step::{StepOut, Sums};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

/// What has come together since the last line of metrics.
pub(crate) struct Lines {
    since: Instant,
    weight: f64,
    loss: f64,
    norm: f64,
    updates: u64,
    samples: u64,
    scalars: Sums,
}

impl Default for Lines {
    fn default() -> Self {
        let scalars = Sums::new();
        Self { since: Instant::now(), weight: 0.0, loss: 0.0, norm: 0.0, updates: 0, samples: 0, scalars }
    }
}

impl Lines {
    pub fn add(&mut self, out: &StepOut) {
        self.weight += out.weight;
        self.loss += out.loss;
        self.samples += out.used + out.skipped;
        if out.updated {
            self.norm += out.norm;
            self.updates += 1;
        }
        for (name, (weight, value)) in &out.scalars {
            let sum = self.scalars.entry(name.clone()).or_default();
            *sum = (sum.0 + weight, sum.1 + value);
        }
    }

    /// Scalars of all ranks' samples instead of this rank's. Every rank takes part.
    pub fn share(&mut self, collective: &dyn Collective) -> Result<()> {
        let own: Vec<String> = self.scalars.keys().cloned().collect();
        let names: BTreeSet<String> = all_texts(collective, &own)?.into_iter().collect();
        let of = |name| self.scalars.get(name).copied().unwrap_or_default();
        let mut sums: Vec<f64> = names.iter().map(of).flat_map(|(weight, value)| [weight, value]).collect();
        collective.all_reduce(&mut sums)?;
        let pairs = sums.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        self.scalars = names.into_iter().zip(pairs).collect();
        Ok(())
    }

    pub fn mean_loss(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.loss / self.weight)
    }

    /// The line, and a new beginning.
    pub fn take(&mut self, rate: f64, skipped: u64) -> BTreeMap<String, f64> {
        let means = self.scalars.iter().map(|(name, (weight, value))| (name.clone(), value / weight));
        let mut values: BTreeMap<String, f64> = means.collect();
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        if let Some(loss) = self.mean_loss() {
            values.insert("loss".into(), loss);
        }
        if self.updates > 0 {
            values.insert("grad_norm".into(), self.norm / self.updates as f64);
        }
        values.insert("lr".into(), rate);
        values.insert("samples_per_second".into(), self.samples as f64 / seconds);
        values.insert("skipped".into(), skipped as f64);
        *self = Self::default();
        values
    }
}

/// Notices when nearly everything is skipped.
#[derive(Default)]
pub(crate) struct Watch {
    recent: VecDeque<(u64, u64)>,
    used: u64,
    skipped: u64,
    latest: String,
}

impl Watch {
    /// Samples looked back on.
    const WINDOW: u64 = 100;
    /// Samples before a judgement.
    const LEAST: u64 = 20;

    pub fn look(&mut self, step: u64, out: &StepOut) -> Result<()> {
        self.recent.push_back((out.used, out.skipped));
        self.used += out.used;
        self.skipped += out.skipped;
        if let Some(reason) = out.reasons.last() {
            self.latest.clone_from(reason);
        }
        while let Some(&(used, skipped)) = self.recent.front() {
            if self.used + self.skipped - used - skipped < Self::WINDOW {
                break;
            }
            (self.used, self.skipped) = (self.used - used, self.skipped - skipped);
            self.recent.pop_front();
        }
        let seen = self.used + self.skipped;
        if seen >= Self::LEAST && self.skipped * 10 > seen * 9 {
            let (skipped, latest) = (self.skipped, self.latest.clone());
            return Err(Error::Skipping { step, skipped, seen, latest });
        }
        Ok(())
    }

    /// A run too short for the window, all of it skipped.
    pub fn whole_run(self, step: u64, seen: u64, skipped: u64) -> Result<()> {
        if seen == 0 && skipped > 0 {
            return Err(Error::Skipping { step, skipped, seen: skipped, latest: self.latest });
        }
        Ok(())
    }
}
