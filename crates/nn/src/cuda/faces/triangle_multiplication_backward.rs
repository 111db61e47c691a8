//! Gradients of triangle multiplication: its factors and sums again, then `triangle_multiplication_backward.cu` and
//! `layer_norm_project_backward.cu`, twice, around matrix products.

use super::int;
use super::triangle_multiplication::Sizes;
use crate::cuda::arguments::{Projected, TriangleOutputBackward, TriangleProjectBackward, TurnChannels};
use crate::cuda::backward::{BackwardJob, End, Matrix};
use crate::cuda::geometry::{Needs, Rows, stride};
use crate::cuda::machine::{Launch, Memory};
use candle_core::Result;

/// Inputs as in `ops/triangle_multiplication`.
pub(crate) fn triangle_multiplication_backward(job: &BackwardJob<'_>, incoming: bool) -> Result<bool> {
    let Some(sizes) = Sizes::of(job, incoming)? else { return Ok(false) };
    let (Sizes { n, cz, c, .. }, parts) = (sizes, job.precision().parts());
    let pairs = n * n;
    let output = Needs {
        rows: (pairs, 32),
        chunks: 2 * cz.div_ceil(64),
        slot: parts * 128 * stride(c.max(cz)),
        warp: parts * 64 * (stride(cz) + stride(c)),
    };
    let project = Needs {
        rows: (pairs, 32),
        chunks: 4 * c.div_ceil(64),
        slot: parts * 128 * stride(cz),
        warp: parts * 64 * stride(cz),
    };
    let (Some(ahead), Some(output), Some(project)) =
        (sizes.project_rows(job), job.rows(&output), job.rows(&project))
    else {
        return Ok(false);
    };
    let (Some(of_sums), Some(of_z)) = (job.end_rows(pairs, c), job.end_rows(pairs, cz)) else {
        return Ok(false);
    };

    let weights = sizes.weights(job)?;
    let factors = sizes.project(job, &ahead, &weights)?;
    let sums = job.values(sizes.values())?;
    // SAFETY: factors and sums are [c, n, ld].
    unsafe { sizes.sums(job, &factors, &sums)? };
    let rows = job.values(pairs * c)?;
    turn(job, &sizes, "turn_to_rows", &sums, &rows)?;

    let gate_weight = job.weights([16])?;
    let (dupdate, dgate) = (job.values(pairs * cz)?, job.values(pairs * cz)?);
    let dsums = after(job, &sizes, (&output, &of_sums), (rows, sums), (&dupdate, &dgate, &gate_weight))?;
    drop(dupdate);

    // Gradients of both factors, each the product of the sums' gradient and the other factor.
    let [a, b] = &factors;
    let [da, db] = [job.values(sizes.values())?, job.values(sizes.values())?];
    // SAFETY: all are [c, n, ld].
    unsafe {
        let (sums, a, b) = (dsums.address, a.address, b.address);
        if incoming {
            sizes.products(job, (b, false), (sums, false), da.address)?;
            sizes.products(job, (a, false), (sums, true), db.address)?;
        } else {
            sizes.products(job, (sums, false), (b, true), da.address)?;
            sizes.products(job, (sums, true), (a, true), db.address)?;
        }
    }
    drop((dsums, factors));

    let projected = job.values(pairs * 4 * c)?;
    let arguments = TriangleProjectBackward {
        z: job.at(0),
        mask: job.at(1),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        project: [weights[0].address, weights[2].address],
        gate: [weights[1].address, weights[3].address],
        project_bias: [job.at(5), job.at(9)],
        gate_bias: [job.at(7), job.at(11)],
        grad: [da.address, db.address],
        projected: projected.address,
        ld: sizes.ld as i64,
        n: int(n),
        cz: int(cz),
        c: int(c),
        slots: int(project.slots),
    };
    let file = "triangle_multiplication_backward";
    // SAFETY: z is [n, n, cz], the mask [n, n], weights are [c, cz], gradients [c, n, ld], what is made [n·n, 4·c].
    unsafe { job.launch_rows(file, "triangle_project_backward", &project, &arguments)? };
    drop((da, db));

    let quarter = |i: usize| Matrix {
        row: 4 * c,
        ..job.matrix(projected.address + (i * c * job.precision().bytes()) as u64, c)
    };
    let grads = [job.matrix(dgate.address, cz), quarter(0), quarter(1), quarter(2), quarter(3)];
    let inputs = [16, 4, 6, 8, 10];
    let of_weights = [&gate_weight, &weights[0], &weights[1], &weights[2], &weights[3]];
    let one = |i: usize| Projected {
        grad: grads[i].address,
        weight: of_weights[i].address,
        row_stride: grads[i].row as i64,
        width: int(grads[i].width),
        scale: 1.0,
    };
    let wanted = inputs.iter().any(|&i| job.wants(i));
    let normed = if wanted { Some(job.values(pairs * cz)?) } else { None };
    let (dx, _scratch) = job.to_or_scratch(0)?;
    let arguments = End {
        x: job.at(0),
        inner: false,
        n: (n, n),
        c: cz,
        strides: (n * cz, cz),
        norm: 2,
        projected: &[one(0), one(1), one(2), one(3), one(4)],
        heads: None,
        mask: 0,
        column: (0, 0),
        dx,
        normed: normed.as_ref().map_or(0, |normed| normed.address),
        of_norm: job.to_norm(2),
    };
    // SAFETY: z and dx are [n, n, cz], gradients have a row a pair.
    unsafe {
        job.end(&arguments, &of_z)?;
        for (&i, &grads) in inputs.iter().zip(&grads) {
            if let Some(normed) = &normed {
                job.weight(i, pairs, (grads, job.matrix(normed.address, cz)), 1.0, false)?;
            }
        }
        job.bias(17, pairs, grads[0], 0)?;
        // The four quarters' biases are sums of one matrix.
        let all = Matrix { width: 4 * c, ..quarter(0) };
        job.column_sums(pairs, all, 0, &[5, 7, 9, 11].map(|i| (job.to(i), c)))?;
    }
    Ok(true)
}

/// From the result's gradient back to that of the sums [c, n, ld], which takes the sums' own memory; and the gate's to `dgate`.
fn after(
    job: &BackwardJob<'_>,
    sizes: &Sizes,
    (output, end): (&Rows, &Rows),
    (rows, sums): (Memory, Memory),
    (dupdate, dgate, gate_weight): (&Memory, &Memory, &Memory),
) -> Result<Memory> {
    let Sizes { n, cz, c, .. } = *sizes;
    let pairs = n * n;
    let out_weight = job.weights([14])?;
    let arguments = TriangleOutputBackward {
        z: job.at(0),
        grad: job.grad(),
        sums: rows.address,
        norm_in_scale: job.at(2),
        norm_in_offset: job.at(3),
        norm_out_scale: job.at(12),
        norm_out_offset: job.at(13),
        out_weight: out_weight.address,
        out_bias: job.at(15),
        gate_weight: gate_weight.address,
        gate_bias: job.at(17),
        dupdate: dupdate.address,
        dgate: dgate.address,
        n: int(n),
        cz: int(cz),
        c: int(c),
        slots: int(output.slots),
    };
    let file = "triangle_multiplication_backward";
    // SAFETY: z and the gradient are [n, n, cz], the sums' rows [n·n, c], what is made [n·n, cz].
    unsafe { job.launch_rows(file, "triangle_output_backward", output, &arguments)? };
    let of_update = job.matrix(dupdate.address, cz);
    let normed = if job.wants(14) { Some(job.values(pairs * c)?) } else { None };
    let projected = Projected {
        grad: dupdate.address,
        weight: out_weight.address,
        row_stride: cz as i64,
        width: int(cz),
        scale: 1.0,
    };
    // The gradient of the sums' rows takes the rows' memory.
    let arguments = End {
        x: rows.address,
        inner: true,
        n: (n, n),
        c,
        strides: (n * c, c),
        norm: 12,
        projected: &[projected],
        heads: None,
        mask: 0,
        column: (0, 0),
        dx: rows.address,
        normed: normed.as_ref().map_or(0, |normed| normed.address),
        of_norm: job.to_norm(12),
    };
    // SAFETY: the update's gradient is [n·n, cz], the weight [cz, c], the rows are [n·n, c].
    unsafe {
        job.end(&arguments, end)?;
        if let Some(normed) = normed {
            job.weight(14, pairs, (of_update, job.matrix(normed.address, c)), 1.0, false)?;
        }
        job.bias(15, pairs, of_update, 0)?;
    }
    turn(job, sizes, "turn_to_channels", &sums, &rows)?;
    Ok(sums)
}

/// Channels [c, n, ld] to rows [n·n, c], or back.
fn turn(job: &BackwardJob<'_>, sizes: &Sizes, kernel: &str, channels: &Memory, rows: &Memory) -> Result<()> {
    let Sizes { n, c, ld, .. } = *sizes;
    let arguments =
        TurnChannels { channels: channels.address, rows: rows.address, ld: ld as i64, n: int(n), c: int(c) };
    let launch = Launch {
        file: "triangle_multiplication_backward",
        kernel: format!("{kernel}_{}", job.precision().name()),
        blocks: n.div_ceil(32) * n * c.div_ceil(64),
        turns: false,
        threads: 256,
        shared: 8448,
    };
    // SAFETY: channels are [c, n, ld], rows [n·n, c].
    unsafe { job.launch(&launch, &arguments) }
}
