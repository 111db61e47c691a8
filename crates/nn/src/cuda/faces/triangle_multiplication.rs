//! Triangle multiplication: `triangle_multiplication.cu` before and after one matrix product a channel.

use super::{int, takes};
use crate::cuda::arguments::{TriangleOutput, TriangleProject};
use crate::cuda::geometry::{Needs, STAGE, stride};
use crate::cuda::job::Job;
use crate::cuda::machine::Products;
use candle_core::Result;

/// Inputs as in `ops/triangle_multiplication`: z, mask, norm, a, its gate, b, its gate, norm, out, gate.
pub(crate) fn triangle_multiplication(job: &Job<'_>, incoming: bool) -> Result<bool> {
    let t = job.inputs;
    let (n, _, cz) = t[0].dims3()?;
    let c = t[4].dim(0)?;
    let (pairs, parts) = (n * n, job.precision().parts());
    if !takes(cz) || !takes(c) {
        return Ok(false);
    }
    let before = Needs {
        rows: (pairs, 32),
        chunks: 2 * c.div_ceil(32),
        slot: parts * 128 * stride(cz),
        warp: parts * 64 * stride(cz) + STAGE,
    };
    let after = Needs {
        rows: (pairs, 32),
        chunks: cz.div_ceil(32),
        slot: parts * 128 * stride(c.max(cz)),
        warp: parts * 64 * (stride(cz) + stride(c)) + STAGE,
    };
    let (Some(before), Some(after)) = (job.rows(&before), job.rows(&after)) else { return Ok(false) };

    let ld = n.next_multiple_of(8);
    let (a, b, sums) = (job.values(c * n * ld)?, job.values(c * n * ld)?, job.values(c * n * ld)?);
    let weights = [job.weights([4])?, job.weights([6])?, job.weights([8])?, job.weights([10])?];
    let arguments = TriangleProject {
        z: job.at(0),
        mask: job.at(1),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        project: [weights[0].address, weights[2].address],
        gate: [weights[1].address, weights[3].address],
        project_bias: [job.at(5), job.at(9)],
        gate_bias: [job.at(7), job.at(11)],
        out: [a.address, b.address],
        ld: ld as i64,
        n: int(n),
        cz: int(cz),
        c: int(c),
        slots: int(before.slots),
    };
    // SAFETY: z is [n, n, cz], the mask [n, n], weights are [c, cz], a and b [c, n, ld].
    unsafe { job.launch_rows("triangle_multiplication", "triangle_project", &before, &arguments)? };
    let plane = n * ld;
    let products = Products {
        m: n,
        n,
        k: n,
        by_columns: incoming,
        a: (a.address, ld, plane),
        b: (b.address, ld, plane),
        out: (sums.address, ld, plane),
        batch: c,
    };
    // SAFETY: a, b and the sums are [c, n, ld].
    unsafe { job.products(&products)? };
    let (out_weight, gate_weight) = (job.weights([14])?, job.weights([16])?);
    let arguments = TriangleOutput {
        z: job.at(0),
        sums: sums.address,
        norm_in_scale: job.at(2),
        norm_in_offset: job.at(3),
        norm_out_scale: job.at(12),
        norm_out_offset: job.at(13),
        out_weight: out_weight.address,
        out_bias: job.at(15),
        gate_weight: gate_weight.address,
        gate_bias: job.at(17),
        residual: job.residual,
        out: job.out,
        ld: ld as i64,
        n: int(n),
        cz: int(cz),
        c: int(c),
        slots: int(after.slots),
    };
    // SAFETY: z, what is added to and the result are [n, n, cz]; the weights [cz, c] and [cz, cz].
    unsafe { job.launch_rows("triangle_multiplication", "triangle_output", &after, &arguments)? };
    Ok(true)
}
