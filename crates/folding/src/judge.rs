//! Predictions of whole chains, judged: what validation and evaluation share.

use crate::accuracy::{Accuracy, accuracy};
use crate::{Known, Result, Sample, truth};
use candle_core::{DType, Tensor};
use chem::atoms::CA;
use features::{FeatureConfig, ModelInput};
use fold::{Model, Prediction, Taps};
use losses::LossConfig;
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
    Ok(judge_with_loss(model, chain, (features, None), recycles, alone)?.0)
}

/// The same with the losses of the last pass as training has them, on the whole chain with FAPE clamped; NaN without
/// `losses`.
///
/// # Errors  as [`judge`], and if a loss cannot be computed.
pub fn judge_with_loss(
    model: &Model,
    chain: &Known,
    (features, losses): (&FeatureConfig, Option<&LossConfig>),
    recycles: usize,
    alone: bool,
) -> Result<(Judged, f64)> {
    let mut features = features.clone();
    features.common.num_recycle = recycles;
    let sample = Sample::whole(chain, &features, alone, SEED)?;
    let mut previous = model.nothing_before(chain.len())?;
    let (last, before) = sample.passes.split_last().expect("there is a pass");
    let pass = |features: &ModelInput, previous| {
        model.pass(std::slice::from_ref(features), previous, &Taps::off(), &mut |_| ControlFlow::Continue(()))
    };
    for features in before {
        previous = pass(features, previous)?.previous();
    }
    let outputs = pass(last, previous)?;
    let loss = match losses {
        Some(config) => f64::from(truth::losses(&outputs, &sample, config)?.total.to_scalar::<f32>()?),
        None => f64::NAN,
    };
    Ok((of_prediction(&model.prediction(&outputs, &last.seq_mask.to_vec())?, chain)?, loss))
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
