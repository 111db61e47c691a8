//! Gradients of gated attention: its values again, then `gate_output_backward.cu`, `attention_backward.cu`,
//! `layer_norm_project_backward.cu`, and matrix products for the weights.

use super::attention::Sizes;
use super::gate_output_backward::{Attended, Ungated, gate_output_backward};
use super::{int, two_products};
use crate::cuda::arguments::{AttentionBackward, PadRows, Projected};
use crate::cuda::backward::{BackwardJob, End};
use crate::cuda::geometry::AttendingBackward;
use crate::cuda::machine::{Launch, Memory};
use candle_core::Result;

/// Inputs as in `ops/attention`.
pub(crate) fn attention_backward(job: &BackwardJob<'_>, heads: usize, per_column: bool) -> Result<bool> {
    let Some(sizes) = Sizes::of(job, heads, per_column)? else { return Ok(false) };
    let Sizes { rows, c, hd, d, batch, n, .. } = sizes;
    let parts = job.precision().parts();
    let back =
        AttendingBackward::fit((batch, heads, n, d), parts, sizes.bias.is_some(), job.machine.shared());
    let gate = job.rows(&two_products(rows, c, hd, parts));
    let (Some(project), Some(attending), Some(back), Some(gate), Some(end)) =
        (sizes.project_rows(job), sizes.attending(job), back, gate, job.end_rows(rows, c))
    else {
        return Ok(false);
    };

    let qkv = sizes.project(job, &project)?;
    let bias = sizes.pad_bias(job)?;
    let stats = job.floats(2 * rows * heads)?;
    let o = sizes.attend(job, &attending, (&qkv, bias.as_ref()), stats.address)?;

    let attended = Attended { o: &o, o_rows: 0, n: (batch, n), strides: sizes.x_strides, c, hd };
    let Ungated { d_o, dgate, gate_weight } = gate_output_backward(job, &gate, &attended)?;
    let dqkv = core(job, &sizes, &back, (&qkv, bias.as_ref()), (&o, &stats, &d_o))?;
    drop((qkv, bias, o, stats, d_o));

    let weights = job.weights([4, 5, 6])?;
    let weight = |i: usize| weights.address + (i * hd * c * job.precision().bytes()) as u64;
    let scale = |i: usize| if i == 0 { sizes.query_scale() } else { 1.0 };
    let one = |grad: u64, weight: u64, scale: f32| Projected {
        grad,
        weight,
        row_stride: hd as i64,
        width: int(hd),
        scale,
    };
    let of_qkv = |i: usize| one(sizes.part(job, &dqkv, i), weight(i), scale(i));
    let projected = [of_qkv(0), of_qkv(1), of_qkv(2), one(dgate.address, gate_weight.address, 1.0)];
    let (dx, _scratch) = job.to_or_scratch(0)?;
    let of_weights = [4, 5, 6, 7].iter().any(|&i| job.wants(i));
    let normed = if of_weights { Some(job.values(rows * c)?) } else { None };
    let arguments = End {
        x: job.at(0),
        inner: false,
        n: (batch, n),
        c,
        strides: sizes.x_strides,
        norm: 2,
        projected: &projected,
        heads: None,
        mask: 0,
        column: (0, 0),
        dx,
        normed: normed.as_ref().map_or(0, |normed| normed.address),
        of_norm: job.to_norm(2),
    };
    // SAFETY: the gradients are [batch·n, hd], the weights [hd, c], x and dx [n0, n1, c].
    unsafe { job.end(&arguments, &end)? };
    if let Some(normed) = normed {
        let normed = job.matrix(normed.address, c);
        for (i, of) in projected.iter().enumerate() {
            // SAFETY: gradients and normalised rows have a row for each of x.
            unsafe { job.weight(4 + i, rows, (job.matrix(of.grad, hd), normed), of.scale, false)? };
        }
    }
    Ok(true)
}

/// Gradients of queries, keys and values, one after the other as these; that of the bias goes to its place.
fn core(
    job: &BackwardJob<'_>,
    sizes: &Sizes,
    back: &AttendingBackward,
    (qkv, bias): (&Memory, Option<&Memory>),
    (o, stats, d_o): (&Memory, &Memory, &Memory),
) -> Result<Memory> {
    let Sizes { rows, hd, d, heads, batch, n, .. } = *sizes;
    let (dqkv, delta) = (job.values(3 * rows * hd)?, job.floats(rows * heads)?);
    let (row, ld) = ((n * hd) as i64, sizes.bias.unwrap_or(0));
    let of_bias = sizes.bias.is_some() && job.wants(11);
    let dbias = if of_bias { Some(job.floats(heads * n * ld)?) } else { None };
    let arguments = AttentionBackward {
        q: sizes.part(job, qkv, 0),
        k: sizes.part(job, qkv, 1),
        v: sizes.part(job, qkv, 2),
        o: o.address,
        d_o: d_o.address,
        bias: bias.map_or(0, |bias| bias.address),
        mask: job.at(1),
        stats: stats.address,
        delta: delta.address,
        dq: sizes.part(job, &dqkv, 0),
        dk: sizes.part(job, &dqkv, 1),
        dv: sizes.part(job, &dqkv, 2),
        dbias: dbias.as_ref().map_or(0, |dbias| dbias.address),
        batch_stride: row,
        position_stride: hd as i64,
        head_stride: d as i64,
        o_batch_stride: row,
        o_position_stride: hd as i64,
        o_head_stride: d as i64,
        bias_head_stride: (n * ld) as i64,
        bias_stride0: ld as i64,
        mask_batch_stride: sizes.mask_strides.0 as i64,
        mask_position_stride: sizes.mask_strides.1 as i64,
        batch: int(batch),
        heads: int(heads),
        n: int(n),
    };
    let launch = |kernel: &str, (blocks, turns): (usize, bool), threads: usize, shared: usize| {
        let kernel = format!("attention_{kernel}_{}_{d}", job.precision().name());
        let launch = Launch { file: "attention_backward", kernel, blocks, turns, threads, shared };
        // SAFETY: q, k, v, o and their gradients are [batch, n, heads, d], stats [batch, heads, n, 2], delta as long, the mask
        // [n0, n1], the bias and its gradient [h, n, ld].
        unsafe { job.launch(&launch, &arguments) }
    };
    let threads = 128 * back.together;
    launch("delta", ((rows * heads).div_ceil(256), true), 256, 0)?;
    launch("backward_queries", (back.blocks, false), threads, back.queries)?;
    launch("backward_keys", (back.blocks, false), threads, back.keys)?;
    if let Some(dbias) = dbias {
        launch("backward_bias", (heads * n.div_ceil(64).pow(2), false), threads, back.bias)?;
        let arguments =
            PadRows { from: dbias.address, to: job.to(11), rows: (heads * n) as i64, n: int(n), ld: int(ld) };
        // SAFETY: the gradient as it was made is [h, n, ld], that of the input [h, n, n].
        unsafe { job.launch_values("pad_rows", "unpad_rows_log2e", heads * n * n, &arguments)? };
    }
    Ok(dqkv)
}
