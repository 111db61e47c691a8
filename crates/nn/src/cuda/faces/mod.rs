//! The operations on a GPU, one a file with the stem of the operation and of its kernels. Each gives `false` where its kernels do
//! not take the sizes, before anything is launched: the reference runs on the GPU then.

mod attention;
mod attention_backward;
mod expectations;
mod frames;
mod gate_output_backward;
mod global_attention;
mod global_attention_backward;
mod ipa;
mod ipa_backward;
mod layer_norm;
mod linear;
mod outer_product_mean;
mod outer_product_mean_backward;
mod pair_bias;
mod transition;
mod triangle_multiplication;
mod triangle_multiplication_backward;

pub(crate) use attention::attention;
pub(crate) use attention_backward::attention_backward;
pub(crate) use expectations::expectations;
pub(crate) use frames::{
    frame_update, frame_update_backward, rigid_groups, rigid_groups_backward, unit_pairs, unit_pairs_backward,
};
pub(crate) use global_attention::global_attention;
pub(crate) use global_attention_backward::global_attention_backward;
pub(crate) use ipa::invariant_point_attention;
pub(crate) use ipa_backward::invariant_point_attention_backward;
pub(crate) use layer_norm::{layer_norm, layer_norm_backward};
pub(crate) use linear::{add_values, linear, linear_backward};
pub(crate) use outer_product_mean::outer_product_mean;
pub(crate) use outer_product_mean_backward::outer_product_mean_backward;
pub(crate) use pair_bias::{pair_bias, pair_bias_backward};
pub(crate) use transition::{transition, transition_backward};
pub(crate) use triangle_multiplication::triangle_multiplication;
pub(crate) use triangle_multiplication_backward::triangle_multiplication_backward;

use super::geometry::{Needs, STAGE, stride};

/// Channels that a layer norm can take in a kernel.
const MOST_CHANNELS: usize = 256;

/// Head dims that there are kernels for.
const HEAD_DIMS: [usize; 4] = [8, 16, 32, 64];

/// log₂ e: attention's exponentials are powers of two.
const LOG2E: f32 = std::f32::consts::LOG2_E;

/// Most channels of kernels that are made for a width.
const WIDTHS: [usize; 3] = [64, 128, 256];

/// The least width of a kernel that takes `c` channels.
pub(super) fn width_of(c: usize) -> Option<usize> {
    WIDTHS.into_iter().find(|&most| c <= most)
}

/// Whether kernels take `c` channels.
fn takes(c: usize) -> bool {
    c.is_multiple_of(8) && (8..=MOST_CHANNELS).contains(&c)
}

/// A size or stride as kernels take it; sizes of regular jobs fit.
pub(super) fn int(x: usize) -> i32 {
    i32::try_from(x).expect("a regular job's sizes fit 32 bits")
}

/// What `layer_norm_project` needs for `rows` rows of `c` channels and `columns` results of `parts` bf16 parts.
fn layer_norm_project(rows: usize, c: usize, columns: usize, parts: usize) -> Needs {
    Needs {
        rows: (rows, 32),
        chunks: columns.div_ceil(64),
        slot: parts * 128 * stride(c),
        warp: parts * 64 * stride(c) + STAGE,
    }
}

/// What `gate_output` needs for `rows` rows of `c` channels and `hv` attended ones.
fn gate_output(rows: usize, c: usize, hv: usize, parts: usize) -> Needs {
    Needs {
        rows: (rows, 32),
        chunks: hv.div_ceil(64) + c.div_ceil(64),
        slot: parts * 128 * stride(c).max(stride(hv)),
        warp: parts * 64 * (stride(c) + stride(hv)) + STAGE,
    }
}

/// What `gate_output_backward` and `transition_backward` need: rows of `c` channels, two products of `width` columns.
fn two_products(rows: usize, c: usize, width: usize, parts: usize) -> Needs {
    Needs {
        rows: (rows, 32),
        chunks: 2 * width.div_ceil(64),
        slot: parts * 2 * (64 * stride(c)).max(72 * c.next_multiple_of(16)),
        warp: parts * 128 * stride(c),
    }
}

/// What `layer_norm_project_backward` needs; none if it does not take `c` channels.
pub(super) fn layer_norm_project_backward(rows: usize, c: usize, parts: usize) -> Option<Needs> {
    let (columns, most) = (64 / parts, width_of(c)?);
    Some(Needs {
        rows: (rows, 16),
        chunks: 2,
        slot: parts * 2 * columns * (most + 8),
        warp: parts * 64 * (columns + 8) + 4736 + 8 * most,
    })
}
