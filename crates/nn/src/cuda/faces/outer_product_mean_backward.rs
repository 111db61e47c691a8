//! Gradients of the outer product mean: its factors and outer products again, some residues at a time, then
//! `outer_product_mean_backward.cu` around matrix products, and `layer_norm_project_backward.cu`.

use super::outer_product_mean::Sizes;
use super::{MOST_CHANNELS, int};
use crate::cuda::arguments::{OuterProductBackward, OuterProductTurn, Projected, RoundValues};
use crate::cuda::backward::{BackwardJob, End, Parts};
use crate::cuda::geometry::{Needs, STAGE, stride};
use crate::cuda::machine::{Factor, Memory, Precision, Products, Results};
use candle_core::Result;

/// Inputs as in `ops/outer_product_mean`.
pub(crate) fn outer_product_mean_backward(job: &BackwardJob<'_>) -> Result<bool> {
    let Some(sizes) = Sizes::of(job)? else { return Ok(false) };
    let Sizes { s, r, c, e, at_once, .. } = sizes;
    let (rows, precision) = (s * r, job.precision());
    let fits = job.rows(&needs(&sizes, at_once, precision)).is_some() && sizes.cz <= MOST_CHANNELS;
    let (Some(project), Some(end), true) = (sizes.project_rows(job), job.end_rows(rows, c), fits) else {
        return Ok(false);
    };
    let counts = sizes.counts(job)?;
    let weights = job.weights([4, 6])?;
    let factors = sizes.factors(job, &project, &weights)?;
    let [da, db] = gradients_of_factors(job, &sizes, &counts, &factors)?;
    drop((factors, counts));

    let grads = [job.matrix(da.address, e), job.matrix(db.address, e)];
    let one = |i: usize| Projected {
        grad: grads[i].address,
        weight: weights.address + (i * e * c * precision.bytes()) as u64,
        row_stride: e as i64,
        width: int(e),
        scale: 1.0,
    };
    let (dx, _scratch) = job.to_or_scratch(0)?;
    let normed = if job.wants(4) || job.wants(6) { Some(job.values(rows * c)?) } else { None };
    let arguments = End {
        x: job.at(0),
        inner: false,
        n: (s, r),
        c,
        strides: (r * c, c),
        norm: 2,
        projected: &[one(0), one(1)],
        heads: None,
        mask: job.at(1),
        column: (0, 0),
        dx,
        normed: normed.as_ref().map_or(0, |normed| normed.address),
        of_norm: job.to_norm(2),
    };
    // SAFETY: m and dx are [s, r, c], the mask is [s, r], gradients of factors are [s, r, e].
    unsafe {
        job.end(&arguments, &end)?;
        for (i, &grads) in [4, 6].into_iter().zip(&grads) {
            if let Some(normed) = &normed {
                job.weight(i, rows, (grads, job.matrix(normed.address, c)), 1.0, false)?;
            }
            job.bias(i + 1, rows, grads, job.at(1))?;
        }
    }
    Ok(true)
}

/// What `outer_product_backward` needs for so many residues.
fn needs(sizes: &Sizes, residues: usize, precision: Precision) -> Needs {
    let parts = precision.parts();
    Needs {
        rows: (residues * sizes.r, 32),
        chunks: (sizes.e * sizes.e).div_ceil(64),
        slot: parts * 144 * sizes.cz.next_multiple_of(16),
        warp: parts * 64 * stride(sizes.cz) + STAGE,
    }
}

/// Gradients of both factors, [s, r, e] each; those of the output's weight and bias go to their places.
fn gradients_of_factors(
    job: &BackwardJob<'_>,
    sizes: &Sizes,
    counts: &Memory,
    factors: &Memory,
) -> Result<[Memory; 2]> {
    let Sizes { s, r, e, cz, at_once, .. } = *sizes;
    let (precision, bytes) = (job.precision(), job.precision().bytes());
    let wide = r * e;
    let chunks = r.div_ceil(at_once);
    let [outer, douter] = [job.values(at_once * e * wide)?, job.values(at_once * e * wide)?];
    let turned = if job.wants(8) { Some(job.values(at_once * r * e * e)?) } else { None };
    let scaled = job.values(at_once * r * cz)?;
    let [da, db] = [job.values(s * wide)?, job.values(s * wide)?];
    // The second factor's gradient is added up over the residues, in f32.
    let added = chunks > 1 && precision != Precision::F32;
    let sum = if added { Some(job.floats(s * wide)?) } else { None };
    let to_b = match &sum {
        Some(sum) => Results::new(sum.address, wide, Precision::F32),
        None => Results::new(db.address, wide, precision),
    };
    let weight = job.weights([8])?;
    let of_bias = Parts::new(job, [(job.to(9), cz), (0, 0)], chunks)?;
    for (chunk, first) in (0..r).step_by(at_once).enumerate() {
        let residues = at_once.min(r - first);
        let Some(fit) = job.rows(&needs(sizes, residues, precision)) else {
            candle_core::bail!("outer_product_mean: {at_once} residues fit, expected {residues} to fit too");
        };
        if let Some(turned) = &turned {
            // SAFETY: outer has room for at_once residues.
            unsafe { sizes.outer(job, factors, (first, residues), outer.address)? };
            let arguments = OuterProductTurn {
                outer: outer.address,
                rows: turned.address,
                residues: int(residues),
                r: int(r),
                e: int(e),
            };
            let kernel = format!("outer_product_turn_{}", precision.name());
            let values = residues * e * wide;
            // SAFETY: outer is [residues, e, r, e], its rows [residues·r, e²].
            unsafe { job.launch_values("outer_product_mean_backward", &kernel, values, &arguments)? };
        }
        let arguments = OuterProductBackward {
            grad: job.grad(),
            weight: weight.address,
            counts: counts.address,
            scaled: scaled.address,
            douter: douter.address,
            first_residue: int(first),
            residues: int(residues),
            r: int(r),
            e: int(e),
            cz: int(cz),
            slots: int(fit.slots),
        };
        let (file, kernel) = ("outer_product_mean_backward", "outer_product_backward");
        let of_a = Products::new(
            (s, residues * e, wide),
            Factor::by_rows(sizes.factor(job, factors, 1, 0), wide),
            Factor::by_rows(douter.address, wide),
            precision,
            Results::new(da.address + (first * e * bytes) as u64, wide, precision),
        );
        let of_b = Products::new(
            (s, wide, residues * e),
            Factor::by_rows(sizes.factor(job, factors, 0, first), wide),
            Factor::by_columns(douter.address, wide),
            precision,
            Results { add: chunk > 0, ..to_b },
        );
        let scaled = job.matrix(scaled.address, cz);
        // SAFETY: the gradient is [r, r, cz], its scaled rows [residues·r, cz], douter [residues, e, r, e]; factors and their
        // gradients are [s, r·e].
        unsafe {
            job.launch_rows(file, kernel, &fit, &arguments)?;
            if let Some(turned) = &turned {
                let factors = (scaled, job.matrix(turned.address, e * e));
                job.weight(8, residues * r, factors, 1.0, chunk > 0)?;
            }
            job.column_sums(residues * r, scaled, 0, &[(of_bias.places(chunk)[0], cz)])?;
            job.products(&of_a)?;
            job.products(&of_b)?;
        }
    }
    // SAFETY: all parts were made; the sum and its rounded values are [s, r·e].
    unsafe {
        of_bias.finish(job)?;
        if let Some(sum) = sum {
            let arguments = RoundValues { from: sum.address, to: db.address, count: (s * wide) as i64 };
            let file = "outer_product_mean_backward";
            job.launch_values(file, "outer_product_round", s * wide, &arguments)?;
        }
    }
    Ok([da, db])
}
