//! The network's operations, one a file: a plain differentiable reference, a fused CPU forward and a
//! backward behind one call. Inputs are f32 tensors; shapes are given as `[s, r, c]` and so on.

mod attention;
mod global_attention;
#[cfg(test)]
mod gradcheck;
mod layer_norm;
mod linear;
mod outer_product_mean;
mod pair_bias;
mod plain;
mod residual;
mod sums;
mod transition;
mod triangle_multiplication;

pub use attention::{AttentionWeights, Orientation, attention};
pub use global_attention::{GlobalAttentionWeights, global_attention};
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_relu, linear_update};
pub use outer_product_mean::{OuterProductWeights, outer_product_mean};
pub use pair_bias::pair_bias;
pub use plain::{relu, sigmoid, softmax_last};
pub use residual::residual;
pub use transition::{TransitionWeights, transition};
pub use triangle_multiplication::{Edges, TriangleWeights, triangle_multiplication};

use candle_core::{CpuStorage, Result, Storage, StorageRef, Tensor};
use std::ops::Deref;

/// The f32 values of a contiguous CPU tensor, in place.
pub(crate) struct Value<'a> {
    storage: StorageRef<'a>,
    start: usize,
    len: usize,
}

impl Deref for Value<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(v)) => &v[self.start..self.start + self.len],
            _ => unreachable!("checked when made"),
        }
    }
}

/// Borrows a tensor's values.
///
/// # Errors  If it is not a contiguous f32 tensor on the CPU.
pub(crate) fn value(t: &Tensor) -> Result<Value<'_>> {
    let (storage, layout) = t.storage_and_layout();
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) || !layout.is_contiguous() {
        candle_core::bail!("expected a contiguous f32 tensor on the CPU, got {t:?}");
    }
    Ok(Value { start: layout.start_offset(), len: layout.shape().elem_count(), storage })
}

/// As [`value`], for a fixed number of inputs.
pub(crate) fn values<const N: usize>(t: &[Tensor]) -> Result<[Value<'_>; N]> {
    let list: Vec<Value<'_>> = t.iter().map(value).collect::<Result<_>>()?;
    let n = list.len();
    list.try_into().map_err(|_| candle_core::Error::Msg(format!("expected {N} inputs, got {n}")))
}
