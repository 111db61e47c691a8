//! The passes of a prediction, and what comes out of the last. AF2 Suppl. Alg. 2.

use crate::convert::{triples, values, with_values};
use crate::model::Model;
use crate::outputs::{Outputs, Prediction};
use crate::taps::Taps;
use crate::{Error, Result, confidence};
use candle_core::Tensor;
use features::FeatureSet;
use std::ops::ControlFlow;

/// How to predict.
pub struct PredictOptions {
    /// Passes after the first.
    pub recycles: usize,
    /// Stop when Cα–Cα distances change less than this, Å; 0 = never.
    pub tolerance: f64,
}

/// Where a prediction is.
pub struct Step {
    /// Pass, from 0.
    pub pass: usize,
    /// Passes planned.
    pub passes: usize,
    /// Blocks done in this pass.
    pub block: usize,
    /// Blocks of a pass.
    pub blocks: usize,
    /// Present once a pass is complete.
    pub finished: Option<PassDone>,
}

/// What a complete pass found.
pub struct PassDone {
    /// Mean pLDDT over residues, 0–100.
    pub mean_plddt: f32,
    /// Predicted TM-score.
    pub ptm: Option<f32>,
    /// Change of Cα–Cα distances since the pass before, Å.
    pub change: f32,
}

/// Told after every block; `Break` stops the prediction.
type Watch<'a> = &'a mut dyn FnMut(&Step) -> ControlFlow<()>;

impl Model {
    /// Runs all passes and keeps the last. Every pass reads its own samples, or the last there are.
    ///
    /// # Errors  [`Error::Stopped`] if `watch` breaks; otherwise as [`Model::pass`].
    pub fn predict(
        &self,
        features: &FeatureSet,
        options: &PredictOptions,
        watch: Watch<'_>,
    ) -> Result<Prediction> {
        let sample =
            features.samples.first().ok_or_else(|| Error::Features("expected samples, got none".into()))?;
        let (mask, passes) = (sample.seq_mask.to_vec(), options.recycles + 1);
        let mut previous = self.nothing_before(sample.num_res())?;
        let available = features.samples.len() / features.num_ensemble.max(1);
        for pass in 0..passes {
            let samples = features.recycle(pass.min(available.max(1) - 1));
            let blocks = self.config().blocks() * samples.len();
            let mut count = 0;
            let mut tick = |_| {
                count += 1;
                watch(&Step { pass, passes, block: count, blocks, finished: None })
            };
            let before = previous.positions.clone();
            let outputs = self.pass(samples, previous, &Taps::off(), &mut tick)?;
            let mut prediction = self.prediction(&outputs, &mask)?;
            prediction.passes = pass + 1;
            let next = outputs.previous();
            let change = distance_change(&before, &next.positions, &mask)?;
            let mean_plddt = weighted_mean(&prediction.plddt, &mask);
            let finished = Some(PassDone { mean_plddt, ptm: prediction.ptm, change });
            let stop = watch(&Step { pass, passes, block: blocks, blocks, finished }).is_break();
            let settled = pass > 0 && f64::from(change) < options.tolerance;
            if pass + 1 == passes || settled {
                nn::cpu::release_scratch();
                return Ok(prediction);
            }
            if stop {
                return Err(Error::Stopped);
            }
            previous = next;
        }
        unreachable!("the last pass returns")
    }

    /// Structure and confidences of a pass.
    pub fn prediction(&self, outputs: &Outputs, seq_mask: &[f32]) -> Result<Prediction> {
        let r = seq_mask.len();
        let positions = triples(&values(&outputs.structure.atom37)?);
        let exists = values(&outputs.structure.atom37_mask)?;
        let lddt = match (&outputs.logits.predicted_lddt, &self.config().heads.predicted_lddt) {
            (Some(logits), Some(head)) => confidence::plddt(&values(logits)?, head.num_bins),
            _ => vec![0.0; r],
        };
        let aligned =
            match (&outputs.logits.predicted_aligned_error, &self.config().heads.predicted_aligned_error) {
                (Some(logits), Some(head)) => {
                    let (bins, max) = (head.num_bins, head.max_error_bin);
                    // Read where they lie: a copy would be the largest thing held at this point.
                    Some(with_values(logits, |logits| {
                        let ptm = confidence::predicted_tm(logits, bins, max, seq_mask);
                        (confidence::expected_aligned_error(logits, bins, max), ptm)
                    })?)
                }
                _ => None,
            };
        let (pae, max_pae, ptm) = match aligned {
            Some(((pae, max), ptm)) => (Some(pae), Some(max), Some(ptm)),
            None => (None, None, None),
        };
        Ok(Prediction {
            positions: (0..r).map(|i| std::array::from_fn(|a| positions[i * 37 + a])).collect(),
            mask: (0..r).map(|i| std::array::from_fn(|a| exists[i * 37 + a] != 0.0)).collect(),
            plddt: lddt,
            pae,
            max_pae,
            ptm,
            passes: 1,
        })
    }
}

fn distance_change(before: &Tensor, after: &Tensor, mask: &[f32]) -> Result<f32> {
    let alpha = |positions: &Tensor| -> Result<Vec<[f32; 3]>> {
        Ok(triples(&values(&positions.narrow(1, chem::atoms::CA, 1)?)?))
    };
    Ok(confidence::self_distance_change(&alpha(before)?, &alpha(after)?, mask))
}

fn weighted_mean(x: &[f32], weights: &[f32]) -> f32 {
    let total: f32 = weights.iter().sum();
    if total == 0.0 { 0.0 } else { x.iter().zip(weights).map(|(x, w)| x * w).sum::<f32>() / total }
}
