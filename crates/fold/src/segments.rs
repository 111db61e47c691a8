//! A pass of which little is kept for going back: activation checkpointing, a block at a time.

use crate::dropout::Dropout;
use crate::model::{Model, Outputs, Previous};
use crate::taps::Taps;
use crate::{Error, Result};
use candle_core::Tensor;
use features::ModelInput;
use nn::Segments;
use std::sync::Arc;

impl Model {
    /// [`Model::pass`] over one sample, the embedders and every block as a segment of `segments`; structure and heads are on
    /// the tape that follows. [`Segments::backward`] takes the gradients. The numbers are those of the pass.
    ///
    /// # Errors  As [`Model::pass`].
    pub fn pass_in_segments(
        self: &Arc<Self>,
        x: &Arc<ModelInput>,
        previous: Previous,
        dropout: Option<&Dropout>,
        segments: &mut Segments,
    ) -> Result<Outputs> {
        let taps = |dropout: &Option<Dropout>| Taps::training(dropout.clone());
        let dropout = dropout.cloned();
        let masks = Arc::new(self.masks(x)?);
        let Previous { msa_first_row, pair, positions } = previous;
        let (model, sample, own_masks, own) = (self.clone(), x.clone(), masks.clone(), dropout.clone());
        let embedded = segments.run(vec![msa_first_row, pair, positions], move |t| {
            let [msa_first_row, pair, positions] = exactly(t)?;
            let previous = Previous { msa_first_row, pair, positions };
            let (m, z) = model.embed(&sample, previous, &own_masks, &taps(&own))?;
            Ok::<_, Error>(vec![m, z, model.extra_rows(&sample)?])
        })?;
        let [mut m, mut z, mut e] = exactly(embedded)?;
        for i in 0..self.extra_blocks().len() {
            let (model, masks, own) = (self.clone(), masks.clone(), dropout.clone());
            [e, z] = exactly(segments.run(vec![e, z], move |t| {
                let [e, z] = exactly(t)?;
                let block = &model.extra_blocks()[i];
                let (e, z) = block.forward(e, z, (&masks.extra, &masks.pair), &taps(&own))?;
                Ok::<_, Error>(vec![e, z])
            })?)?;
        }
        drop(e);
        for i in 0..self.blocks().len() {
            let (model, masks, own) = (self.clone(), masks.clone(), dropout.clone());
            [m, z] = exactly(segments.run(vec![m, z], move |t| {
                let [m, z] = exactly(t)?;
                let block = &model.blocks()[i];
                let (m, z) = block.forward(m, z, (&masks.msa, &masks.pair), &taps(&own))?;
                Ok::<_, Error>(vec![m, z])
            })?)?;
        }
        let (m, row, single) = self.read(&m, x)?;
        self.outputs((m, row, z, single), x, &taps(&dropout))
    }
}

/// As many tensors as a segment takes or gives.
fn exactly<const N: usize>(tensors: Vec<Tensor>) -> Result<[Tensor; N]> {
    let found = tensors.len();
    tensors.try_into().map_err(|_| {
        Error::Tensor(candle_core::Error::Msg(format!("segments: expected {N} tensors, got {found}")))
    })
}
