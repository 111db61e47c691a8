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
        let of_pass = |pass: usize| features.recycle(pass.min(available.max(1) - 1));
        let mut ready = None;
        for pass in 0..passes {
            let samples = of_pass(pass);
            let blocks = self.config().blocks() * samples.len();
            let mut count = 0;
            let mut tick = |_| {
                count += 1;
                watch(&Step { pass, passes, block: count, blocks, finished: None })
            };
            let before = previous.positions.clone();
            let outputs = self.pass_of(samples, ready.take(), previous, &Taps::off(), &mut tick)?;
            // A GPU is still at it: what the next pass reads comes before what this one gives.
            if pass + 1 < passes
                && let Some(next) = of_pass(pass + 1).first()
            {
                ready = self.ready(next)?;
            }
            let next = outputs.previous();
            let change = distance_change(&before, &next.positions, &mask)?;
            let settled = pass > 0 && f64::from(change) < options.tolerance;
            let last = pass + 1 == passes || settled;
            let plddt = self.plddt(&outputs, mask.len())?;
            let aligned = self.aligned(&outputs, &mask, last)?;
            let mean_plddt = weighted_mean(&plddt, &mask);
            let ptm = aligned.as_ref().map(|aligned| aligned.ptm);
            let finished = Some(PassDone { mean_plddt, ptm, change });
            let stop = watch(&Step { pass, passes, block: blocks, blocks, finished }).is_break();
            if last {
                nn::cpu::release_scratch();
                return self.assemble(&outputs, plddt, aligned, pass + 1);
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
        let plddt = self.plddt(outputs, seq_mask.len())?;
        self.assemble(outputs, plddt, self.aligned(outputs, seq_mask, true)?, 1)
    }

    /// 0–100; zeros without a head for it.
    fn plddt(&self, outputs: &Outputs, residues: usize) -> Result<Vec<f32>> {
        Ok(match (&outputs.logits.predicted_lddt, &self.config().heads.predicted_lddt) {
            (Some(logits), Some(head)) => confidence::plddt(&values(logits)?, head.num_bins),
            _ => vec![0.0; residues],
        })
    }

    /// What the logits of aligned errors say, with the `errors` of all pairs or without; nothing without a head for them.
    fn aligned(&self, outputs: &Outputs, seq_mask: &[f32], errors: bool) -> Result<Option<Aligned>> {
        let head = &self.config().heads.predicted_aligned_error;
        let (Some(logits), Some(head)) = (&outputs.logits.predicted_aligned_error, head) else {
            return Ok(None);
        };
        let (bins, max) = (head.num_bins, head.max_error_bin);
        let (ptm, errors) = if logits.device().is_cpu() {
            // Read where they lie: a copy would be the largest thing held at this point.
            with_values(logits, |logits| {
                let errors = errors.then(|| confidence::expected_aligned_error(logits, bins, max).0);
                (confidence::predicted_tm(logits, bins, max, seq_mask), errors)
            })?
        } else {
            confidence::aligned_on_gpu(logits, bins, max, seq_mask, errors)?
        };
        let errors = errors.map(|errors| (errors, confidence::greatest_error(bins, max)));
        Ok(Some(Aligned { ptm, errors }))
    }

    fn assemble(
        &self,
        outputs: &Outputs,
        plddt: Vec<f32>,
        aligned: Option<Aligned>,
        passes: usize,
    ) -> Result<Prediction> {
        let positions = triples(&values(&outputs.structure.atom37)?);
        let exists = values(&outputs.structure.atom37_mask)?;
        let ptm = aligned.as_ref().map(|aligned| aligned.ptm);
        let (pae, max_pae) = aligned.and_then(|aligned| aligned.errors).unzip();
        let r = plddt.len();
        Ok(Prediction {
            positions: (0..r).map(|i| std::array::from_fn(|a| positions[i * 37 + a])).collect(),
            mask: (0..r).map(|i| std::array::from_fn(|a| exists[i * 37 + a] != 0.0)).collect(),
            plddt,
            pae,
            max_pae,
            ptm,
            passes,
        })
    }
}

/// Confidences from the logits of aligned errors.
struct Aligned {
    ptm: f32,
    /// Expected errors of all pairs, Å, row-major, and the largest there can be.
    errors: Option<(Vec<f32>, f32)>,
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
