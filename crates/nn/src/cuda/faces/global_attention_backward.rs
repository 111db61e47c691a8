//! Gradients of global column attention: its values again, then `gate_output_backward.cu`, `sums.cu`,
//! `global_attention_backward.cu`, `layer_norm_project_backward.cu`, and matrix products for the weights.

use super::gate_output_backward::{Attended, Ungated, gate_output_backward};
use super::global_attention::{Left, Sizes, WARPS};
use super::{int, two_products};
use crate::cuda::arguments::{GlobalAttentionBackward, Projected};
use crate::cuda::backward::{BackwardJob, End, Matrix};
use crate::cuda::machine::Launch;
use candle_core::Result;

/// Inputs as in `ops/global_attention`.
pub(crate) fn global_attention_backward(job: &BackwardJob<'_>, heads: usize) -> Result<bool> {
    let Some(sizes) = Sizes::of(job, heads)? else { return Ok(false) };
    let Sizes { s, r, c, d, hd, .. } = sizes;
    let (rows, bytes) = (s * r, job.precision().bytes());
    let gate = job.rows(&two_products(rows, c, hd, job.precision().parts()));
    let (Some(project), Some(gate), Some(end)) = (sizes.project_rows(job), gate, job.end_rows(rows, c))
    else {
        return Ok(false);
    };

    let kv = sizes.project(job, &project)?;
    let (mean, queries, stats) = (job.values(r * c)?, job.floats(r * hd)?, job.floats(2 * r * heads)?);
    let left = Left { mean: mean.address, queries: queries.address, stats: stats.address };
    let o = sizes.attend(job, &kv, left)?;

    let attended = Attended { o: &o, o_rows: r, n: (s, r), strides: (r * c, c), c, hd };
    let Ungated { d_o, dgate, gate_weight } = gate_output_backward(job, &gate, &attended)?;
    // What all sequences of a column have of o: [r, hd].
    let sum_o = job.floats(r * hd)?;
    // SAFETY: d_o is [s, r·hd].
    unsafe {
        job.column_sums(s, job.matrix(d_o.address, r * hd), 0, &[(sum_o.address, r * hd)])?;
        job.finish_sums()?;
    }
    drop((o, d_o));

    let (dkv, dq, column) = (job.values(rows * 2 * d)?, job.values(r * hd)?, job.floats(r * c)?);
    let query_weight = job.weights([4])?;
    let behind = (d * bytes) as u64;
    let arguments = GlobalAttentionBackward {
        mask: job.at(1),
        query_weight: query_weight.address,
        k: kv.address,
        v: sizes.values_of(job, &kv),
        queries: queries.address,
        stats: stats.address,
        d_o: sum_o.address,
        dk: dkv.address,
        dv: dkv.address + behind,
        dq: dq.address,
        column_grad: column.address,
        kv_stride0: (r * 2 * d) as i64,
        kv_stride1: (2 * d) as i64,
        s: int(s),
        r: int(r),
        c: int(c),
        heads: int(heads),
    };
    let launch = Launch {
        file: "global_attention_backward",
        kernel: format!("global_attention_backward_{}_{d}", job.precision().name()),
        blocks: r,
        turns: true,
        threads: 32 * WARPS,
        shared: 4 * (3 * hd + heads + 1),
    };
    // SAFETY: the mask is [s, r], keys, values and their gradients are [s·r, 2·d], queries and what is theirs [r, h·d].
    unsafe { job.launch(&launch, &arguments)? };
    drop(kv);

    let kv_weights = job.weights([5, 6])?;
    let of_kv = |i: usize| Projected {
        grad: dkv.address + i as u64 * behind,
        weight: kv_weights.address + (i * d * c * bytes) as u64,
        row_stride: (2 * d) as i64,
        width: int(d),
        scale: 1.0,
    };
    let of_gate = Projected {
        grad: dgate.address,
        weight: gate_weight.address,
        row_stride: hd as i64,
        width: int(hd),
        scale: 1.0,
    };
    let (dx, _scratch) = job.to_or_scratch(0)?;
    let of_weights = [5, 6, 7].iter().any(|&i| job.wants(i));
    let normed = if of_weights { Some(job.values(rows * c)?) } else { None };
    let arguments = End {
        x: job.at(0),
        inner: false,
        n: (s, r),
        c,
        strides: (r * c, c),
        norm: 2,
        projected: &[of_kv(0), of_kv(1), of_gate],
        heads: None,
        mask: 0,
        column: (column.address, job.at(1)),
        dx,
        normed: normed.as_ref().map_or(0, |normed| normed.address),
        of_norm: job.to_norm(2),
    };
    // SAFETY: gradients of keys and values are [s·r, 2·d], the gate's [s·r, hd], the columns' [r, c]; m and dx are [s, r, c].
    unsafe { job.end(&arguments, &end)? };
    let of_queries = (job.matrix(dq.address, hd), job.matrix(mean.address, c));
    // SAFETY: queries and means have a row a column, the others one for each of m.
    unsafe {
        job.weight(4, r, of_queries, 1.0, false)?;
        if let Some(normed) = normed {
            let normed = job.matrix(normed.address, c);
            for i in 0..2 {
                let grads = Matrix { row: 2 * d, ..job.matrix(of_kv(i).grad, d) };
                job.weight(5 + i, rows, (grads, normed), 1.0, false)?;
            }
            job.weight(7, rows, (job.matrix(dgate.address, hd), normed), 1.0, false)?;
        }
    }
    Ok(true)
}
