//! A block of the Evoformer or of the extra-MSA stack. AF2 Suppl. Alg. 6 and 18.

use crate::attention::{GatedAttention, GlobalColumnAttention, MsaRowAttention};
use crate::config::{Block as Sizes, Dropout};
use crate::layers::{Linear, Norm};
use crate::pair_stack::{Order, PairUpdates, Transition};
use crate::taps::Taps;
use candle_core::{Result as Tensors, Tensor};
use nn::ops::{Orientation, OuterProductWeights};
use nn::{Params, Update, ops};

/// Outer product mean. AF2 Suppl. Alg. 10.
pub struct OuterProductMean {
    norm: Norm,
    a: Linear,
    b: Linear,
    out: Linear,
}

impl OuterProductMean {
    /// `c` is the MSA's width, `e` the factors'.
    pub fn load(p: &Params, c: usize, e: usize, c_z: usize) -> nn::Result<Self> {
        Ok(Self {
            norm: Norm::load(&p.sub("layer_norm"), c)?,
            a: Linear::load(&p.sub("linear_1"), c, e)?,
            b: Linear::load(&p.sub("linear_2"), c, e)?,
            out: Linear::load(&p.sub("linear_out"), e * e, c_z)?,
        })
    }

    /// The pair's update `[r, r, c_z]` from `m` `[s, r, c]`.
    pub fn update(&self, m: &Tensor, mask: &Tensor) -> Update {
        let w = OuterProductWeights {
            norm: self.norm.pair(),
            a: self.a.pair(),
            b: self.b.pair(),
            out: self.out.pair(),
        };
        ops::outer_product_mean(m, mask, &w)
    }
}

/// Column attention: among sequences, or global where there are thousands.
enum Column {
    Full(GatedAttention),
    Global(GlobalColumnAttention),
}

/// Which stack a block belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// The extra-MSA stack, with global column attention.
    Extra,
    /// The Evoformer.
    Main,
}

/// One block.
pub struct Block {
    path: String,
    row: MsaRowAttention,
    column: Column,
    transition: Transition,
    outer: OuterProductMean,
    pair: PairUpdates,
    dropout: Rates,
}

/// What training leaves out of the updates that are not the pair's own.
struct Rates {
    row: Dropout,
    column: Dropout,
    transition: Dropout,
    outer: Dropout,
}

impl Block {
    /// `c` is the width of the MSA that the stack reads.
    pub fn load(
        p: &Params,
        path: String,
        c: usize,
        c_z: usize,
        sizes: &Sizes,
        stack: Stack,
    ) -> nn::Result<Self> {
        let p = p.sub(&path);
        let column = match stack {
            Stack::Main => {
                let p = p.sub("msa_att_col._msa_att");
                let per_column = Orientation::PerColumn;
                Column::Full(GatedAttention::load(
                    &p,
                    "layer_norm_m",
                    c,
                    &sizes.msa_column_attention,
                    per_column,
                )?)
            }
            Stack::Extra => Column::Global(GlobalColumnAttention::load(
                &p.sub("msa_att_col"),
                c,
                &sizes.msa_column_attention,
            )?),
        };
        Ok(Self {
            row: MsaRowAttention::load(
                &p.sub("msa_att_row"),
                c,
                c_z,
                &sizes.msa_row_attention_with_pair_bias,
            )?,
            column,
            transition: Transition::load(
                &p.sub("msa_transition"),
                c,
                sizes.msa_transition.num_intermediate_factor,
            )?,
            outer: OuterProductMean::load(
                &p.sub("outer_product_mean"),
                c,
                sizes.outer_product_mean.num_outer_channel,
                c_z,
            )?,
            pair: PairUpdates::load(&p.sub("pair_stack"), c_z, &sizes.pair, Order::MultiplyFirst)?,
            dropout: Rates {
                row: sizes.msa_row_attention_with_pair_bias.dropout,
                column: sizes.msa_column_attention.dropout,
                transition: sizes.msa_transition.dropout,
                outer: sizes.outer_product_mean.dropout,
            },
            path,
        })
    }

    /// `m` `[s, r, c]` and `z` `[r, r, c_z]` after the block, with their masks. Their memory is used for the
    /// results: nothing else may read them. Without sequences (`s` = 0, an unpadded input with no extra rows) only the
    /// pair is updated by itself; AlphaFold, which pads, adds the outer product's bias over ε there.
    pub fn forward(
        &self,
        m: Tensor,
        z: Tensor,
        masks: (&Tensor, &Tensor),
        taps: &Taps,
    ) -> Tensors<(Tensor, Tensor)> {
        let name = |name: &str| format!("{}.{name}", self.path);
        if m.dim(0)? == 0 {
            let z = self.pair.forward(z, masks.1, &self.path, taps)?;
            return Ok((m, z));
        }
        let update = self.row.update(&m, &z, masks.0)?;
        let m = taps.dropped(|| name("msa_att_row"), self.dropout.row, m, update)?;
        let update = match &self.column {
            Column::Full(a) => a.update(&m, masks.0, None),
            Column::Global(a) => a.update(&m, masks.0),
        };
        let m = taps.dropped(|| name("msa_att_col"), self.dropout.column, m, update)?;
        let update = self.transition.update(&m);
        let m = taps.dropped(|| name("msa_transition"), self.dropout.transition, m, update)?;
        let update = self.outer.update(&m, masks.0);
        let z = taps.dropped(|| name("outer_product_mean"), self.dropout.outer, z, update)?;
        let z = self.pair.forward(z, masks.1, &self.path, taps)?;
        taps.add(|| name("m"), &m);
        taps.add(|| name("z"), &z);
        Ok((m, z))
    }
}
