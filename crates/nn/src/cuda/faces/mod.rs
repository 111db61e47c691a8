//! The operations on a GPU, one a file with the stem of the operation and of its kernels. Each gives `false` where its kernels do
//! not take the sizes, before anything is launched: the reference runs on the GPU then.

mod attention;
mod global_attention;
mod outer_product_mean;
mod pair_bias;
mod transition;
mod triangle_multiplication;

pub(crate) use attention::attention;
pub(crate) use global_attention::global_attention;
pub(crate) use outer_product_mean::outer_product_mean;
pub(crate) use pair_bias::pair_bias;
pub(crate) use transition::transition;
pub(crate) use triangle_multiplication::triangle_multiplication;

use super::geometry::{Needs, STAGE, stride};

/// Channels that a layer norm can take in a kernel.
const MOST_CHANNELS: usize = 256;

/// Head dims that there are kernels for.
const HEAD_DIMS: [usize; 4] = [8, 16, 32, 64];

/// log₂ e: attention's exponentials are powers of two.
const LOG2E: f32 = std::f32::consts::LOG2_E;

/// Whether kernels take `c` channels.
fn takes(c: usize) -> bool {
    c.is_multiple_of(8) && (8..=MOST_CHANNELS).contains(&c)
}

/// A size or stride as kernels take it; sizes of regular jobs fit.
fn int(x: usize) -> i32 {
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
