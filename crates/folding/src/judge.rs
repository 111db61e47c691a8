//! Predictions of whole chains, judged: what validation and evaluation share.

use crate::accuracy::{Accuracy, accuracy};
use crate::{Known, Result, Sample};
use candle_core::{DType, Tensor};
use chem::atoms::CA;
use features::{FeatureConfig, FeatureSet};
use fold::{Model, PredictOptions, Prediction};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// One prediction's scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// How close it is.
    pub accuracy: Accuracy,
    /// Mean pLDDT, 0–100.
    pub plddt: f64,
    /// Predicted TM-score, if the network has the head.
    pub ptm: Option<f64>,
}

/// The network with these parameters, off the tape.
///
/// # Errors  If they do not fit.
pub fn network(config: &fold::Config, weights: &BTreeMap<String, Tensor>) -> Result<Model> {
    let still = weights.iter().map(|(name, t)| (name.clone(), t.detach())).collect();
    Ok(Model::load(config, still, DType::F32)?)
}

/// Predicts a whole chain, from its sequence `alone` or with its alignment, and compares. The seed is the same for
/// every chain, so that the same parameters give the same scores.
///
/// # Errors  If features cannot be made, the network fails or nothing can be compared.
pub fn judge(
    model: &Model,
    chain: &Known,
    features: &FeatureConfig,
    recycles: usize,
    alone: bool,
) -> Result<Judged> {
    let mut features = features.clone();
    features.common.num_recycle = recycles;
    let sample = Sample::whole(chain, &features, alone, SEED)?;
    let set = FeatureSet { samples: sample.passes, num_ensemble: 1, crop_start: 0, crop_seed: None };
    let options = PredictOptions { recycles, tolerance: 0.0 };
    let prediction = model.predict(&set, &options, &mut |_| ControlFlow::Continue(()))?;
    of_prediction(&prediction, chain)
}

const SEED: u64 = 0;

/// Scores of a prediction.
///
/// # Errors  as [`accuracy`].
pub fn of_prediction(prediction: &Prediction, chain: &Known) -> Result<Judged> {
    let alpha: Vec<[f32; 3]> = prediction.positions.iter().map(|atoms| atoms[CA]).collect();
    Ok(Judged {
        accuracy: accuracy(&alpha, chain)?,
        plddt: f64::from(prediction.mean_plddt()),
        ptm: prediction.ptm.map(f64::from),
    })
}
