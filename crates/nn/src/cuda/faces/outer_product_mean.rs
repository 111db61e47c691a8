//! Outer product mean: `layer_norm_project.cu`, matrix products, `outer_product_mean.cu`.

use super::{int, layer_norm_project, takes};
use crate::cuda::arguments::{LayerNormProject, OuterProductProject, PairCounts};
use crate::cuda::geometry::{Rows, outer_project};
use crate::cuda::job::Job;
use crate::cuda::machine::{Factor, Launch, Memory, Products, Results};
use candle_core::Result;

/// Sizes of an outer product mean: sequences, residues, channels of the MSA, of a factor, of pairs.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub s: usize,
    pub r: usize,
    pub c: usize,
    pub e: usize,
    pub cz: usize,
    /// Residues whose outer products are made at a time.
    pub at_once: usize,
}

impl Sizes {
    /// None if there is no kernel for these inputs, as in `ops/outer_product_mean`: m, mask, norm, a, b, out.
    pub fn of(job: &Job<'_>) -> Result<Option<Self>> {
        let t = job.inputs;
        let (s, r, c) = t[0].dims3()?;
        let (e, cz) = (t[4].dim(0)?, t[8].dim(0)?);
        let at_once = (job.machine.part() / (e * r * e * job.precision().bytes()).max(1)).clamp(1, r);
        let taken = takes(c) && e.is_multiple_of(8) && cz.is_multiple_of(8);
        Ok(taken.then_some(Self { s, r, c, e, cz, at_once }))
    }

    /// How factors are made.
    pub fn project_rows(&self, job: &Job<'_>) -> Option<Rows> {
        job.rows(&layer_norm_project(self.s * self.r, self.c, 2 * self.e, job.precision().parts()))
    }

    /// In how many sequences both of two residues are, [r, r].
    pub fn counts(&self, job: &Job<'_>) -> Result<Memory> {
        let Self { s, r, .. } = *self;
        job.machine.derived(&job.inputs[1], 4 * r * r, &mut |to| {
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
        })
    }

    /// Both factors, [s, r, e] each, from the `weights` of both.
    pub fn factors(&self, job: &Job<'_>, fit: &Rows, weights: &Memory) -> Result<Memory> {
        let Self { s, r, c, e, .. } = *self;
        let factors = job.values(2 * s * r * e)?;
        let biases = job.vectors([5, 7])?;
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
            group_stride: (s * r * e) as i64,
            n0: int(s),
            n1: int(r),
            c: int(c),
            width: int(2 * e),
            group: int(e),
            slots: int(fit.slots),
            scale: 1.0,
            ..LayerNormProject::default()
        };
        // SAFETY: m is [s, r, c], the mask [s, r], the weights are [2e, c], the factors twice [s, r, e].
        unsafe { job.launch_rows("layer_norm_project", "layer_norm_project", fit, &arguments)? };
        Ok(factors)
    }

    /// Where factor `i` begins for residue `first`.
    pub fn factor(&self, job: &Job<'_>, factors: &Memory, i: usize, first: usize) -> u64 {
        factors.address + ((i * self.s * self.r + first) * self.e * job.precision().bytes()) as u64
    }

    /// Outer products of `residues` from `first` on with all, [residues, e, r, e].
    ///
    /// # Safety  The factors are there and `outer` has room.
    pub unsafe fn outer(
        &self,
        job: &Job<'_>,
        factors: &Memory,
        (first, residues): (usize, usize),
        outer: u64,
    ) -> Result<()> {
        let Self { s, r, e, .. } = *self;
        let products = Products::new(
            (residues * e, r * e, s),
            Factor::by_columns(self.factor(job, factors, 0, first), r * e),
            Factor::by_columns(self.factor(job, factors, 1, 0), r * e),
            job.precision(),
            Results::new(outer, r * e, job.precision()),
        );
        // SAFETY: both factors are [s, r·e], of which residues·e columns from first·e on are read; the rest is the caller's.
        unsafe { job.products(&products) }
    }
}

/// The operation.
pub(crate) fn outer_product_mean(job: &Job<'_>) -> Result<bool> {
    let Some(sizes) = Sizes::of(job)? else { return Ok(false) };
    let (Sizes { r, e, cz, at_once, .. }, parts) = (sizes, job.precision().parts());
    let (Some(project), Some((warps, shared))) =
        (sizes.project_rows(job), outer_project(parts, job.machine.shared()))
    else {
        return Ok(false);
    };
    let counts = sizes.counts(job)?;
    let factors = sizes.factors(job, &project, &job.weights([4, 6])?)?;
    let outer = job.values(at_once * e * r * e)?;
    let weight = job.weights([8])?;
    for first in (0..r).step_by(at_once) {
        let residues = at_once.min(r - first);
        // SAFETY: outer has room for at_once residues.
        unsafe { sizes.outer(job, &factors, (first, residues), outer.address)? };
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
