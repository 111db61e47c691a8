//! Layer norm alone, and its gradients: `layer_norm.cu`.

use super::int;
use crate::cuda::arguments::{LayerNorm, LayerNormBackward};
use crate::cuda::backward::BackwardJob;
use crate::cuda::job::Job;
use crate::cuda::machine::Launch;
use candle_core::Result;

/// Rows that a block takes at a time, a warp each.
const WARPS: usize = 8;

/// Most channels going back: their sums lie in shared memory.
const MOST: usize = 1024;

fn launch(kernel: &str, rows: usize, shared: usize) -> Launch {
    let (file, kernel) = ("layer_norm", kernel.to_string());
    Launch { file, kernel, blocks: rows.div_ceil(WARPS), turns: true, threads: 32 * WARPS, shared }
}

/// Inputs as in `ops/layer_norm`: x, scale, offset.
pub(crate) fn layer_norm(job: &Job<'_>) -> Result<bool> {
    let c = job.inputs[1].dim(0)?;
    let rows = job.inputs[0].elem_count() / c;
    let arguments = LayerNorm {
        x: job.at(0),
        scale: job.at(1),
        offset: job.at(2),
        residual: job.residual,
        out: job.out,
        rows: rows as i64,
        c: int(c),
    };
    // SAFETY: x, what is added to and the result are [rows, c], scale and offset [c].
    unsafe { job.launch(&launch("layer_norm", rows, 0), &arguments)? };
    Ok(true)
}

/// Its gradients.
pub(crate) fn layer_norm_backward(job: &BackwardJob<'_>) -> Result<bool> {
    let c = job.inputs[1].dim(0)?;
    let (rows, shared) = (job.inputs[0].elem_count() / c, 2 * 4 * WARPS * c);
    if c > MOST || shared > job.machine.shared() {
        return Ok(false);
    }
    let mut launch = launch("layer_norm_backward", rows, shared);
    // Every block leaves its own sums, so the number of blocks is settled here.
    (launch.blocks, launch.turns) = (job.machine.blocks(&launch)?, false);
    let of_norm = job.wants(1) || job.wants(2);
    let leaves = if of_norm { Some(job.floats(launch.blocks * 2 * c)?) } else { None };
    let (dx, _scratch) = job.to_or_scratch(0)?;
    let arguments = LayerNormBackward {
        x: job.at(0),
        scale: job.at(1),
        grad: job.grad(),
        dx,
        leaves: leaves.as_ref().map_or(0, |leaves| leaves.address),
        rows: rows as i64,
        c: int(c),
    };
    // SAFETY: x, its gradient and the result's are [rows, c], the scale [c], leaves [blocks, 2, c].
    unsafe {
        job.launch(&launch, &arguments)?;
        if let Some(leaves) = leaves {
            job.sum_leaves(leaves, launch.blocks, &[(job.to(1), c), (job.to(2), c)])?;
        }
    }
    Ok(true)
}
