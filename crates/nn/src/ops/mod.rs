//! The network's operations, one a file: a plain differentiable reference, a fused CPU forward and a
//! backward behind one call. Shapes are given as `[s, r, c]` and so on.
//!
//! Tensors are f32, but matrices of weights may be bf16. Then the fused forward rounds the factors of its matrix products
//! to bf16 where the machine has instructions for that; sums, softmax, layer norm and all else stay f32. The backward's
//! own products are of f32.

mod attention;
#[cfg(test)]
mod exactness;
mod expectations;
mod frames;
mod global_attention;
#[cfg(test)]
mod gradcheck;
mod ipa;
mod layer_norm;
mod linear;
mod lookup;
mod outer_product_mean;
mod pair_bias;
mod plain;
mod residual;
mod sums;
mod transition;
mod triangle_multiplication;

pub use attention::{AttentionWeights, Orientation, attention};
pub use expectations::expectations;
pub use frames::{
    FrameSections, GROUP_TABLE, GroupSections, frame_update, pack_frames, rigid_groups, unit_pairs,
};
pub use global_attention::{GlobalAttentionWeights, global_attention};
pub use ipa::{PointAttentionWeights, invariant_point_attention};
pub(crate) use ipa::{Sizes as PointAttentionSizes, point_factor};
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_relu, linear_relu_update, linear_update};
pub use lookup::lookup;
pub use outer_product_mean::{OuterProductWeights, outer_product_mean};
pub use pair_bias::{pair_bias, pair_bias_update};
pub use plain::{relu, sigmoid, softmax_last};
pub use residual::residual;
pub use transition::{TransitionWeights, transition};
pub use triangle_multiplication::{Edges, TriangleWeights, channels_at_a_time, triangle_multiplication};

use crate::cpu::Number;
use candle_core::{CpuStorage, Result, Storage, StorageRef, Tensor};
use std::ops::Deref;

/// The values of a contiguous CPU tensor as f32: in place, or widened from bf16.
pub(crate) struct Value<'a> {
    number: Number,
    held: Held<'a>,
}

enum Held<'a> {
    InPlace { storage: StorageRef<'a>, start: usize, len: usize },
    Widened(Vec<f32>),
}

impl Value<'_> {
    /// What products with this tensor, a weight, are to be rounded to: bf16 if it is bf16 and the machine
    /// multiplies such numbers faster.
    pub fn number(&self) -> Number {
        self.number
    }
}

impl Deref for Value<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.held {
            Held::Widened(values) => values,
            Held::InPlace { storage, start, len } => match &**storage {
                Storage::Cpu(CpuStorage::F32(v)) => &v[*start..start + len],
                _ => unreachable!("checked when made"),
            },
        }
    }
}

/// Borrows a tensor's values.
///
/// # Errors  If it is not a contiguous f32 or bf16 tensor on the CPU.
pub(crate) fn value(t: &Tensor) -> Result<Value<'_>> {
    let (storage, layout) = t.storage_and_layout();
    let (start, len) = (layout.start_offset(), layout.shape().elem_count());
    let widened = match &*storage {
        Storage::Cpu(CpuStorage::F32(_)) if layout.is_contiguous() => None,
        Storage::Cpu(CpuStorage::BF16(v)) if layout.is_contiguous() => {
            Some(v[start..start + len].iter().map(|v| v.to_f32()).collect())
        }
        _ => candle_core::bail!("expected a contiguous f32 or bf16 tensor on the CPU, got {t:?}"),
    };
    Ok(match widened {
        None => Value { number: Number::F32, held: Held::InPlace { storage, start, len } },
        Some(values) => Value { number: Number::bf16_if_fast(), held: Held::Widened(values) },
    })
}

/// As [`value`], for a fixed number of inputs.
pub(crate) fn values<const N: usize>(t: &[Tensor]) -> Result<[Value<'_>; N]> {
    let list: Vec<Value<'_>> = t.iter().map(value).collect::<Result<_>>()?;
    let n = list.len();
    list.try_into().map_err(|_| candle_core::Error::Msg(format!("expected {N} inputs, got {n}")))
}
