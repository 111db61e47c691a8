//! The CPU side of the fused operations: matrix products, row-wise functions, threads and scratch.
//!
//! Work is cut into blocks whose size does not depend on the number of threads, and each block is
//! computed by one thread, so results do not depend on the number of threads either.

mod allocator;
mod attention;
mod gemm;
mod kernels;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod layer_norm;
mod level;
mod narrow;
mod number;
mod packed;
mod parts;
mod peak;
mod points;
mod rows;
mod rows_backward;
mod scratch;
mod softmax;
mod threads;
mod transpose;
mod vector;

pub use allocator::keep_freed_memory;
pub use attention::{HeadBlock, attend};
pub use gemm::{Finish, gemm, gemm_parallel};
pub use layer_norm::{layer_norm_row, layer_norm_row_as, layer_norm_rows_as};
pub use level::{Level, has_bf16, level};
pub use narrow::{NarrowHeads, TurnedBias, attend_narrow, is_narrow, with_turned_bias};
pub use number::Number;
pub use packed::{Mat, Packed, Panels, padded};
pub use parts::{add_transposed_product, sum_parts};
pub use peak::fma_peak;
pub use points::{point_logits_backward_row, point_logits_row};
pub use rows::{add_bias, add_into, gate_rows, mul_sigmoid, scale_row};
pub use rows_backward::{
    gate_backward_row, layer_norm_backward_row, relu_backward_row, softmax_backward_row,
};
pub use scratch::{release_scratch, scratch};
pub use softmax::{softmax_row, softmax_row_as};
pub use threads::{SharedMut, for_blocks, keep_candle_on_one_thread};
pub use transpose::transpose;
