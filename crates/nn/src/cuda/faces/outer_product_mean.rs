//! Outer product mean: `layer_norm_project.cu`, matrix products, `outer_product_mean.cu`.

use super::{int, layer_norm_project, takes};
use crate::cuda::arguments::{LayerNormProject, OuterProductProject, PairCounts};
use crate::cuda::geometry::outer_project;
use crate::cuda::job::Job;
use crate::cuda::machine::{Launch, Products};
use candle_core::Result;

/// Outer products that are made at a time, bytes: they stay in the L2 cache.
const CHUNK: usize = 32 << 20;

/// Inputs as in `ops/outer_product_mean`: m, mask, norm, a, b, out.
pub(crate) fn outer_product_mean(job: &Job<'_>) -> Result<bool> {
    let t = job.inputs;
    let (s, r, c) = t[0].dims3()?;
    let (e, cz) = (t[4].dim(0)?, t[8].dim(0)?);
    let (rows, parts, bytes) = (s * r, job.precision().parts(), job.precision().bytes());
    if !takes(c) || !e.is_multiple_of(8) || !cz.is_multiple_of(8) {
        return Ok(false);
    }
    let project = job.rows(&layer_norm_project(rows, c, 2 * e, parts));
    let (Some(project), Some((warps, shared))) = (project, outer_project(parts, job.machine.shared())) else {
        return Ok(false);
    };

    let counts = job.machine.derived(&t[1], 4 * r * r, &mut |to| {
        let arguments = PairCounts { mask: job.at(1), counts: to, s: int(s), r: int(r) };
        let launch = Launch {
            file: "outer_product_mean",
            kernel: "pair_counts".into(),
            blocks: r.div_ceil(32).pow(2),
            turns: false,
            threads: 256,
            shared: 8448,
        };
        // SAFETY: the mask is [s, r], the counts are [r, r].
        unsafe { job.launch(&launch, &arguments) }
    })?;

    let factors = job.values(2 * rows * e)?;
    let (weights, biases) = (job.weights([4, 6])?, job.vectors([5, 7])?);
    let arguments = LayerNormProject {
        x: job.at(0),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        weight: weights.address,
        bias: biases.address,
        mask: job.at(1),
        out: factors.address,
        stride0: (r * c) as i64,
        stride1: c as i64,
        group_stride: (rows * e) as i64,
        n0: int(s),
        n1: int(r),
        c: int(c),
        width: int(2 * e),
        group: int(e),
        slots: int(project.slots),
        scale: 1.0,
        ..LayerNormProject::default()
    };
    // SAFETY: m is [s, r, c], the mask [s, r], the weights are [2e, c], the factors twice [s, r, e].
    unsafe { job.launch_rows("layer_norm_project", "layer_norm_project", &project, &arguments)? };

    let at_once = (CHUNK / (e * r * e * bytes)).clamp(1, r);
    let outer = job.values(at_once * e * r * e)?;
    let weight = job.weights([8])?;
    for first in (0..r).step_by(at_once) {
        let residues = at_once.min(r - first);
        let products = Products {
            m: residues * e,
            n: r * e,
            k: s,
            by_columns: true,
            a: (factors.address + (first * e * bytes) as u64, r * e, 0),
            b: (factors.address + (rows * e * bytes) as u64, r * e, 0),
            out: (outer.address, r * e, 0),
            batch: 1,
        };
        // SAFETY: both factors are [s, r·e], of which residues·e columns from first·e on are read; outer has room.
        unsafe { job.products(&products)? };
        let arguments = OuterProductProject {
            outer: outer.address,
            weight: weight.address,
            bias: job.at(9),
            counts: counts.address,
            residual: job.residual,
            out: job.out,
            first_residue: int(first),
            residues: int(residues),
            r: int(r),
            e: int(e),
            cz: int(cz),
        };
        let launch = Launch {
            file: "outer_product_mean",
            kernel: format!("outer_product_project_f32_{}", job.precision().name()),
            blocks: (residues * r).div_ceil(32 * warps) * cz.div_ceil(128),
            turns: false,
            threads: 32 * warps,
            shared,
        };
        // SAFETY: outer is [residues, e, r, e], the weight [cz, e²], counts [r, r]; the result is [r, r, cz].
        unsafe { job.launch(&launch, &arguments)? };
    }
    Ok(true)
}
