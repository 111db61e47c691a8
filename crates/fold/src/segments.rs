//! A pass of which little is kept for going back: activation checkpointing, a block at a time.

use crate::dropout::Dropout;
use crate::evoformer::Block;
use crate::model::Model;
use crate::outputs::{Outputs, Previous};
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
        let given = Arc::new(self.given(x)?);
        let Previous { msa_first_row, pair, positions } = previous;
        let (model, sample, read, left_out) = (self.clone(), x.clone(), given.clone(), dropout.cloned());
        let embedded = segments.run(vec![msa_first_row, pair, positions], move |t| {
            let [msa_first_row, pair, positions] = exactly(t)?;
            let previous = Previous { msa_first_row, pair, positions };
            let (m, z) = model.embed(&sample, None, previous, &read, &Taps::training(left_out.clone()))?;
            let extra = model.extra.forward(model.extra.features(&sample)?)?;
            Ok::<_, Error>(vec![m, z, extra])
        })?;
        let [m, z, e] = exactly(embedded)?;
        let mut through = |blocks: &[Arc<Block>], mut x: [Tensor; 2], mask: &Tensor| -> Result<[Tensor; 2]> {
            for block in blocks {
                let (block, left_out) = (block.clone(), dropout.cloned());
                let masks = (mask.clone(), given.pair_mask.clone());
                let done = segments.run(x.to_vec(), move |t| {
                    let [x, z] = exactly(t)?;
                    let taps = Taps::training(left_out.clone());
                    let (x, z) = block.forward(x, z, (&masks.0, &masks.1), &taps)?;
                    Ok::<_, Error>(vec![x, z])
                })?;
                x = exactly(done)?;
            }
            Ok(x)
        };
        let [_, z] = through(&self.extra_blocks, [e, z], &given.extra_mask)?;
        let [m, z] = through(&self.blocks, [m, z], &given.msa_mask)?;
        let (m, row, single) = self.read(&m, x)?;
        self.outputs((m, row, z, single), x, &Taps::training(dropout.cloned()))
    }
}

/// As many tensors as a segment takes or gives.
fn exactly<const N: usize>(tensors: Vec<Tensor>) -> Result<[Tensor; N]> {
    let found = tensors.len();
    tensors.try_into().map_err(|_| {
        Error::Tensor(candle_core::Error::Msg(format!("segments: expected {N} tensors, got {found}")))
    })
}
