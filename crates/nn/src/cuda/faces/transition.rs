//! Transition: `transition.cu`.

use super::{int, takes};
use crate::cuda::arguments::Transition;
use crate::cuda::geometry::{Needs, STAGE, stride};
use crate::cuda::job::Job;
use crate::cuda::machine::Launch;
use candle_core::Result;

/// Most channels of the kernels there are.
const WIDTHS: [usize; 3] = [64, 128, 256];

/// Inputs as in `ops/transition`: x, norm, widen, narrow.
pub(crate) fn transition(job: &Job<'_>) -> Result<bool> {
    let (w, c) = job.inputs[3].dims2()?;
    let parts = job.precision().parts();
    let rows = job.inputs[0].elem_count() / c;
    let Some(most) = WIDTHS.into_iter().find(|&most| c <= most) else { return Ok(false) };
    if !takes(c) || !w.is_multiple_of(8) {
        return Ok(false);
    }
    let needs = Needs {
        rows: (rows, 16),
        chunks: 2 * w.div_ceil(64),
        slot: parts * 2 * (64 * stride(c)).max(72 * most),
        warp: parts * 32 * (stride(c) + 72) + STAGE,
    };
    let Some(fit) = job.rows(&needs) else { return Ok(false) };
    let (widen, narrow) = (job.weights([3])?, job.weights([5])?);
    let arguments = Transition {
        x: job.at(0),
        norm_scale: job.at(1),
        norm_offset: job.at(2),
        widen: widen.address,
        widen_bias: job.at(4),
        narrow: narrow.address,
        narrow_bias: job.at(6),
        residual: job.residual,
        out: job.out,
        rows: rows as i64,
        c: int(c),
        w: int(w),
        slots: int(fit.slots),
    };
    let launch = Launch {
        file: "transition",
        kernel: format!("transition_f32_{}_{most}", job.precision().name()),
        blocks: fit.tiles,
        turns: true,
        threads: 32 * fit.warps,
        shared: fit.shared,
    };
    // SAFETY: x and the result are [rows, c], the weights [w, c] and [c, w].
    unsafe { job.launch(&launch, &arguments)? };
    Ok(true)
}
