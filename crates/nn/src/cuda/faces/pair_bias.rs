//! Attention bias of the pair representation: `layer_norm_project.cu` with heads alone.

use super::{int, layer_norm_project, takes};
use crate::cuda::arguments::LayerNormProject;
use crate::cuda::job::Job;
use candle_core::Result;

/// Inputs as in `ops/pair_bias`: z, norm, weight.
pub(crate) fn pair_bias(job: &Job<'_>, swapped: bool) -> Result<bool> {
    let t = job.inputs;
    let (n, _, c) = t[0].dims3()?;
    let heads = t[3].dim(0)?;
    if !takes(c) || job.residual != 0 {
        return Ok(false);
    }
    let Some(rows) = job.rows(&layer_norm_project(n * n, c, heads, job.precision().parts())) else {
        return Ok(false);
    };
    let strides = if swapped { (c, n * c) } else { (n * c, c) };
    let weight = job.weights([3])?;
    let arguments = LayerNormProject {
        x: job.at(0),
        norm_scale: job.at(1),
        norm_offset: job.at(2),
        weight: weight.address,
        heads_out: job.out,
        stride0: strides.0 as i64,
        stride1: strides.1 as i64,
        heads_stride: (n * n) as i64,
        heads_stride0: n as i64,
        n0: int(n),
        n1: int(n),
        c: int(c),
        heads: int(heads),
        group: 8, // of no columns
        slots: int(rows.slots),
        scale: 1.0,
        heads_scale: 1.0,
        ..LayerNormProject::default()
    };
    // SAFETY: z is [n, n, c], the weight [h, c], the result [h, n, n].
    unsafe { job.launch_rows("layer_norm_project", "layer_norm_project", &rows, &arguments)? };
    Ok(true)
}
