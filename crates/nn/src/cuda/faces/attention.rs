//! Gated attention: `layer_norm_project.cu`, `attention.cu`, `gate_output.cu`.

use super::{HEAD_DIMS, LOG2E, gate_output, int, layer_norm_project, takes};
use crate::cuda::arguments::{Attention, GateOutput, LayerNormProject, PadRows};
use crate::cuda::geometry::Attending;
use crate::cuda::job::Job;
use crate::cuda::machine::Launch;
use candle_core::Result;

/// Inputs as in `ops/attention`: x, mask, norm, q, k, v, gate, out, bias or none.
pub(crate) fn attention(job: &Job<'_>, heads: usize, per_column: bool) -> Result<bool> {
    let t = job.inputs;
    let (n0, n1, c) = t[0].dims3()?;
    let (hd, hv) = (t[4].dim(0)?, t[6].dim(0)?);
    let (d, rows, parts) = (hd / heads, n0 * n1, job.precision().parts());
    if hd != hv || !hd.is_multiple_of(heads) || !HEAD_DIMS.contains(&d) || !takes(c) || !takes(hd) {
        return Ok(false);
    }
    // Attended rows, their length, and where their elements lie in x and mask.
    let (batch, n, x_strides, mask_strides) =
        if per_column { (n1, n0, (c, n1 * c), (1, n1)) } else { (n0, n1, (n1 * c, c), (n1, 1)) };
    let has_bias = t.len() > 11;
    let project = job.rows(&layer_norm_project(rows, c, 3 * hd, parts));
    let attend = Attending::fit((batch, heads, n, d), parts, has_bias, job.machine.shared());
    let (Some(project), Some(attend), Some(gate)) =
        (project, attend, job.rows(&gate_output(rows, c, hd, parts)))
    else {
        return Ok(false);
    };

    let (qkv, o) = (job.values(3 * rows * hd)?, job.values(rows * hd)?);
    let weights = job.weights([4, 5, 6])?;
    let arguments = LayerNormProject {
        x: job.at(0),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        weight: weights.address,
        out: qkv.address,
        stride0: x_strides.0 as i64,
        stride1: x_strides.1 as i64,
        group_stride: (rows * hd) as i64,
        n0: int(batch),
        n1: int(n),
        c: int(c),
        width: int(3 * hd),
        group: int(hd),
        scaled: int(hd),
        slots: int(project.slots),
        scale: LOG2E / (d as f32).sqrt(),
        ..LayerNormProject::default()
    };
    // SAFETY: x is [n0, n1, c], the weights are [3·hd, c], qkv has room for three times [batch, n, hd].
    unsafe { job.launch_rows("layer_norm_project", "layer_norm_project", &project, &arguments)? };

    // The bias in powers of two, its rows aligned.
    let ld = n.next_multiple_of(32);
    let bias = if has_bias { Some(job.floats(heads * n * ld)?) } else { None };
    if let Some(bias) = &bias {
        let arguments =
            PadRows { from: job.at(11), to: bias.address, rows: (heads * n) as i64, n: int(n), ld: int(ld) };
        let launch = Launch {
            file: "pad_rows",
            kernel: "pad_rows_log2e".into(),
            blocks: (heads * n * ld).div_ceil(1024),
            turns: true,
            threads: 256,
            shared: 0,
        };
        // SAFETY: the bias is [h, n, n], its copy [h, n, ld].
        unsafe { job.launch(&launch, &arguments)? };
    }

    let values = |i: usize| qkv.address + (i * rows * hd * job.precision().bytes()) as u64;
    let arguments = Attention {
        q: values(0),
        k: values(1),
        v: values(2),
        bias: bias.as_ref().map_or(0, |bias| bias.address),
        mask: job.at(1),
        o: o.address,
        batch_stride: (n * hd) as i64,
        position_stride: hd as i64,
        head_stride: d as i64,
        o_batch_stride: (n * hd) as i64,
        o_position_stride: hd as i64,
        o_head_stride: d as i64,
        bias_head_stride: (n * ld) as i64,
        bias_stride0: ld as i64,
        mask_batch_stride: mask_strides.0 as i64,
        mask_position_stride: mask_strides.1 as i64,
        batch: int(batch),
        heads: int(heads),
        n: int(n),
        ..Attention::default()
    };
    let launch = Launch {
        file: "attention",
        kernel: format!("attention_{}_{d}", job.precision().name()),
        blocks: attend.blocks,
        turns: false,
        threads: 128 * attend.together,
        shared: attend.shared,
    };
    // SAFETY: q, k, v and o are [batch, n, heads, d], the mask is [n0, n1], the bias [h, n, ld].
    unsafe { job.launch(&launch, &arguments)? };

    let (gate_weight, out_weight) = (job.weights([7])?, job.weights([9])?);
    let arguments = GateOutput {
        x: job.at(0),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        gate_weight: gate_weight.address,
        gate_bias: job.at(8),
        o: o.address,
        out_weight: out_weight.address,
        out_bias: job.at(10),
        residual: job.residual,
        out: job.out,
        stride0: x_strides.0 as i64,
        stride1: x_strides.1 as i64,
        n0: int(batch),
        n1: int(n),
        c: int(c),
        hv: int(hd),
        slots: int(gate.slots),
        o_rows: 0,
    };
    // SAFETY: o is [batch·n, hd]; x, what is added to and the result are [n0, n1, c].
    unsafe { job.launch_rows("gate_output", "gate_output", &gate, &arguments)? };
    Ok(true)
}
