//! Global column attention: `layer_norm_project.cu`, `global_attention.cu`, `gate_output.cu`.

use super::{HEAD_DIMS, gate_output, int, layer_norm_project, takes};
use crate::cuda::arguments::{GateOutput, GlobalAttention, LayerNormProject};
use crate::cuda::job::Job;
use crate::cuda::machine::Launch;
use candle_core::Result;

/// Warps of a block, which takes a column.
const WARPS: usize = 8;

/// Inputs as in `ops/global_attention`: m, mask, norm, q, k, v, gate, out.
pub(crate) fn global_attention(job: &Job<'_>, heads: usize) -> Result<bool> {
    let t = job.inputs;
    let (s, r, c) = t[0].dims3()?;
    let (hd, d) = (t[4].dim(0)?, t[5].dim(0)?);
    let (rows, parts) = (s * r, job.precision().parts());
    let same = hd == heads * d && t[6].dim(0)? == d && t[7].dim(0)? == hd;
    if !same || !HEAD_DIMS.contains(&d) || !takes(c) || !takes(hd) {
        return Ok(false);
    }
    let shared = 4 * (WARPS * (c + 1) + c + hd);
    let project = job.rows(&layer_norm_project(rows, c, 2 * d, parts));
    let (Some(project), Some(gate)) = (project, job.rows(&gate_output(rows, c, hd, parts))) else {
        return Ok(false);
    };

    let (kv, o) = (job.values(rows * 2 * d)?, job.values(r * hd)?);
    let weights = job.weights([5, 6])?;
    let arguments = LayerNormProject {
        x: job.at(0),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        weight: weights.address,
        out: kv.address,
        stride0: (r * c) as i64,
        stride1: c as i64,
        group_stride: (rows * 2 * d) as i64,
        n0: int(s),
        n1: int(r),
        c: int(c),
        width: int(2 * d),
        group: int(2 * d),
        slots: int(project.slots),
        scale: 1.0,
        ..LayerNormProject::default()
    };
    // SAFETY: m is [s, r, c], the weights are [2·d, c], keys and values [s·r, 2·d].
    unsafe { job.launch_rows("layer_norm_project", "layer_norm_project", &project, &arguments)? };

    let query_weight = job.weights([4])?;
    let arguments = GlobalAttention {
        x: job.at(0),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        mask: job.at(1),
        query_weight: query_weight.address,
        k: kv.address,
        v: kv.address + (d * job.precision().bytes()) as u64,
        o: o.address,
        stride0: (r * c) as i64,
        stride1: c as i64,
        kv_stride0: (r * 2 * d) as i64,
        kv_stride1: (2 * d) as i64,
        s: int(s),
        r: int(r),
        c: int(c),
        heads: int(heads),
        ..GlobalAttention::default()
    };
    let launch = Launch {
        file: "global_attention",
        kernel: format!("global_attention_f32_{}_{d}", job.precision().name()),
        blocks: r,
        turns: true,
        threads: 32 * WARPS,
        shared,
    };
    // SAFETY: m is [s, r, c], the mask [s, r], the weight [h·d, c], o [r, h·d].
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
        stride0: (r * c) as i64,
        stride1: c as i64,
        n0: int(s),
        n1: int(r),
        c: int(c),
        hv: int(hd),
        slots: int(gate.slots),
        o_rows: int(r),
    };
    // SAFETY: row i of m is gated with row i mod r of o; what is added to and the result are [s, r, c].
    unsafe { job.launch_rows("gate_output", "gate_output", &gate, &arguments)? };
    Ok(true)
}
