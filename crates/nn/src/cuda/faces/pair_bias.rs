//! Attention bias of the pair representation: `layer_norm_project.cu` with heads alone.

use super::{int, layer_norm_project, takes};
use crate::cuda::arguments::LayerNormProject;
use crate::cuda::backward::{BackwardJob, End, Matrix};
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

/// Its gradients: `layer_norm_project_backward.cu` with heads alone.
pub(crate) fn pair_bias_backward(job: &BackwardJob<'_>, swapped: bool) -> Result<bool> {
    let t = job.inputs;
    let (n, _, c) = t[0].dims3()?;
    let (heads, rows) = (t[3].dim(0)?, n * n);
    let Some(end) = job.end_rows(rows, c).filter(|_| takes(c)) else { return Ok(false) };
    let weight = job.weights([3])?;
    let row = heads.next_multiple_of(8);
    let of_weight = if job.wants(3) { Some((job.values(rows * row)?, job.values(rows * c)?)) } else { None };
    let (heads_rows, normed) = of_weight.as_ref().map_or((0, 0), |(a, b)| (a.address, b.address));
    let (dx, _scratch) = job.to_or_scratch(0)?;
    let arguments = End {
        x: job.at(0),
        inner: false,
        n: (n, n),
        c,
        strides: if swapped { (c, n * c) } else { (n * c, c) },
        norm: 1,
        projected: &[],
        heads: Some((job.grad(), weight.address, heads_rows, heads)),
        mask: 0,
        column: (0, 0),
        dx,
        normed,
        of_norm: job.to_norm(1),
    };
    // SAFETY: z and dx are [n, n, c], the gradient [h, n, n], its rows [n·n, h rounded up to 8], the weight [h, c].
    unsafe { job.end(&arguments, &end)? };
    if of_weight.is_some() {
        let grads = Matrix { row, ..job.matrix(heads_rows, heads) };
        // SAFETY: both have a row a pair.
        unsafe { job.weight(3, rows, (grads, job.matrix(normed, c)), 1.0, false)? };
    }
    Ok(true)
}
