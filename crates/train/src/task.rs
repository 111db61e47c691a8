//! What the trainer is told: where samples come from, and what their loss is.

use crate::error::BoxError;
use crate::philox::RngKey;
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Samples by number. Called from several threads at once.
pub trait DataSource: Send + Sync {
    /// One prepared sample.
    type Batch: Send + 'static;

    /// How many samples there are.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prepares sample `index` for the place in the run that `key` names: a pure function of both.
    ///
    /// # Errors  If it cannot be used; it is skipped then, and recorded.
    fn get(&self, index: u64, key: RngKey) -> Result<Self::Batch, BoxError>;
}

/// What is trained. Holds the network; the trainer holds the parameters.
pub trait Task: Sync {
    /// One prepared sample.
    type Batch;

    /// The loss of one sample: a pure function of the sample, the parameters and `ctx.key`.
    ///
    /// # Errors  If there is none; the sample is skipped then, and recorded.
    fn loss(&self, batch: &Self::Batch, ctx: &StepCtx) -> Result<LossOut, BoxError>;

    /// Judges the averaged parameters `ema`, off the tape and in f32. Only called if `validate_every` is set.
    ///
    /// # Errors  If they cannot be judged; the run stops then.
    fn validate(&self, ema: &BTreeMap<String, Tensor>, ctx: &StepCtx) -> Result<Validation, BoxError>;
}

/// Where in the run a loss is asked for.
#[derive(Clone, Debug)]
pub struct StepCtx {
    /// Finished steps.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// The sample's number in the step, over all ranks.
    pub micro: u32,
    /// Randomness of this sample; [`RngKey::of_step`] is shared by all samples of the step.
    pub key: RngKey,
    /// The parameters on the tape, matrices as [`crate::TrainConfig::matrices`] says; made once a step.
    pub weights: Arc<BTreeMap<String, Tensor>>,
}

/// Takes the gradients of a loss that is on no single tape: of one that keeps little of the pass and repeats it, say.
pub type Backward = Box<dyn FnOnce(&Tensor) -> candle_core::Result<GradStore>>;

/// The loss of one sample.
pub struct LossOut {
    /// One number on a tape.
    pub loss: Tensor,
    /// Its parts, for the metrics; averaged like the loss.
    pub scalars: BTreeMap<String, f64>,
    /// The sample's share in the step's mean: 1 for a protein, the number of tokens for text.
    pub weight: f64,
    /// How its gradients are taken; by its own tape if there is none.
    pub backward: Option<Backward>,
}

impl LossOut {
    /// A loss of weight 1 without parts.
    pub fn new(loss: Tensor) -> Self {
        Self { loss, scalars: BTreeMap::new(), weight: 1.0, backward: None }
    }
}

/// A judgement of parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Higher is better; the best parameters are kept.
    pub score: f64,
    /// All else that was measured, for the metrics.
    pub scalars: BTreeMap<String, f64>,
}
