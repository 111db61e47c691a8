//! Transition: `transition.cu`; its gradients: `transition_backward.cu`, `layer_norm_project_backward.cu`, and matrix products for
//! the weights.

use super::{int, takes, two_products, width_of};
use crate::cuda::arguments::{Projected, Transition, TransitionBackward};
use crate::cuda::backward::{BackwardJob, End, Matrix, Parts};
use crate::cuda::geometry::{Needs, STAGE, stride};
use crate::cuda::job::Job;
use crate::cuda::machine::{Launch, Memory, Precision};
use candle_core::Result;

/// Inputs as in `ops/transition`: x, norm, widen, narrow.
pub(crate) fn transition(job: &Job<'_>) -> Result<bool> {
    let (w, c) = job.inputs[3].dims2()?;
    let parts = job.precision().parts();
    let rows = job.inputs[0].elem_count() / c;
    let Some(most) = width_of(c) else { return Ok(false) };
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

/// How many times [`crate::cuda::Machine::part`] the widened rows take going back: enough rows for all processors.
const AT_ONCE: usize = 4;

/// Its gradients. The widened rows and their gradients are made for some rows at a time.
pub(crate) fn transition_backward(job: &BackwardJob<'_>) -> Result<bool> {
    let (w, c) = job.inputs[3].dims2()?;
    let (precision, bytes) = (job.precision(), job.precision().bytes());
    let rows = job.inputs[0].elem_count() / c;
    if !takes(c) || !w.is_multiple_of(8) {
        return Ok(false);
    }
    let most = (AT_ONCE * job.machine.part() / (2 * w * bytes)).clamp(1, rows);
    let needs = |rows| two_products(rows, c, w, precision.parts());
    let (Some(_), Some(_)) = (job.rows(&needs(most)), job.end_rows(most, c)) else { return Ok(false) };

    let [hidden, dhidden] = [job.values(most * w)?, job.values(most * w)?];
    let grad_rows = if job.wants(5) { Some(job.values(most * c)?) } else { None };
    let normed = if job.wants(3) { Some(job.values(most * c)?) } else { None };
    let of = |memory: &Option<Memory>| memory.as_ref().map_or(0, |memory| memory.address);
    let (widen, narrow) = (job.weights([3])?, job.weights([5])?);
    let (dx, _scratch) = job.to_or_scratch(0)?;
    let chunks = rows.div_ceil(most);
    let of_norm = Parts::new(job, job.to_norm(1).map(|to| (to, c)), chunks)?;
    let of_bias = Parts::new(job, [(job.to(4), w), (0, 0)], chunks)?;
    for (chunk, first) in (0..rows).step_by(most).enumerate() {
        let here = most.min(rows - first);
        let (Some(fit), Some(end)) = (job.rows(&needs(here)), job.end_rows(here, c)) else {
            candle_core::bail!("transition: {most} rows fit, expected {here} to fit too");
        };
        let behind = (4 * first * c) as u64;
        let arguments = TransitionBackward {
            x: job.at(0) + behind,
            grad: job.grad() + behind,
            norm_scale: job.at(1),
            norm_offset: job.at(2),
            widen: widen.address,
            widen_bias: job.at(4),
            narrow: narrow.address,
            hidden: hidden.address,
            dhidden: dhidden.address,
            grad_rows: of(&grad_rows),
            rows: here as i64,
            c: int(c),
            w: int(w),
            slots: int(fit.slots),
        };
        let projected = Projected {
            grad: dhidden.address,
            weight: widen.address,
            row_stride: w as i64,
            width: int(w),
            scale: 1.0,
        };
        let end_arguments = End {
            x: job.at(0) + behind,
            inner: false,
            n: (1, here),
            c,
            strides: (here * c, c),
            norm: 1,
            projected: &[projected],
            heads: None,
            mask: 0,
            column: (0, 0),
            dx: dx + behind,
            normed: of(&normed),
            of_norm: of_norm.places(chunk),
        };
        let (hidden, dhidden) = (job.matrix(hidden.address, w), job.matrix(dhidden.address, w));
        let (grad_rows, normed) = (job.matrix(of(&grad_rows), c), job.matrix(of(&normed), c));
        let add = chunk > 0;
        // SAFETY: these rows of x, its gradient and the result's are [here, c], the widened ones [here, w].
        unsafe {
            job.launch_rows("transition_backward", "transition_backward", &fit, &arguments)?;
            job.weight(5, here, (grad_rows, hidden), 1.0, add)?;
            job.column_sums(here, dhidden, 0, &[(of_bias.places(chunk)[0], w)])?;
            job.end(&end_arguments, &end)?;
            job.weight(3, here, (dhidden, normed), 1.0, add)?;
        }
    }
    let grad = Matrix { address: job.grad(), row: c, width: c, precision: Precision::F32 };
    // SAFETY: the gradient is [rows, c]; all parts were made.
    unsafe {
        of_norm.finish(job)?;
        of_bias.finish(job)?;
        job.bias(6, rows, grad, 0)?;
    }
    Ok(true)
}
