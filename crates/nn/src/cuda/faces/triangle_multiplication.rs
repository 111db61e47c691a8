//! Triangle multiplication: `triangle_multiplication.cu` before and after one matrix product a channel.

use super::{int, takes};
use crate::cuda::arguments::{TriangleOutput, TriangleProject};
use crate::cuda::geometry::{Needs, Rows, STAGE, stride};
use crate::cuda::job::Job;
use crate::cuda::machine::{Factor, Memory, Products, Results};
use candle_core::Result;

/// Channels whose weights pass through shared memory together.
const CHUNK: usize = 32;

/// Sizes of a triangle multiplication: residues, channels of pairs and of the sums, elements of a row of these.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub n: usize,
    pub cz: usize,
    pub c: usize,
    pub ld: usize,
    pub incoming: bool,
    /// Channels of the factors that are made at a time, and the first of them.
    pub channels: (usize, usize),
}

/// Weights of the projections in the machine's precision: of a, its gate, of b, its gate.
pub(super) type Weights = [Memory; 4];

impl Sizes {
    /// None if there is no kernel for these inputs, as in `ops/triangle_multiplication`: z, mask, norm, a, its gate, b, its gate,
    /// norm, out, gate.
    pub fn of(job: &Job<'_>, incoming: bool) -> Result<Option<Self>> {
        let (n, _, cz) = job.inputs[0].dims3()?;
        let c = job.inputs[4].dim(0)?;
        let sizes = Self { n, cz, c, ld: n.next_multiple_of(8), incoming, channels: (0, c) };
        Ok((takes(cz) && takes(c)).then_some(sizes))
    }

    /// How projections are made.
    pub fn project_rows(&self, job: &Job<'_>) -> Option<Rows> {
        let parts = job.precision().parts();
        job.rows(&Needs {
            rows: (self.n * self.n, 32),
            chunks: 2 * self.channels.1.div_ceil(32),
            slot: parts * 128 * stride(self.cz),
            warp: parts * 64 * stride(self.cz) + STAGE,
        })
    }

    /// Elements of all channels.
    pub fn values(&self) -> usize {
        self.c * self.n * self.ld
    }

    /// What [`Sizes::project`] takes.
    pub fn weights(&self, job: &Job<'_>) -> Result<Weights> {
        Ok([job.weights([4])?, job.weights([6])?, job.weights([8])?, job.weights([10])?])
    }

    /// Some channels at a time: factors no more than there is room for beside the sums; whole chunks of weights where there are many.
    fn some(&self, job: &Job<'_>) -> Self {
        let one = self.n * self.ld * job.precision().bytes();
        let left = job.machine.room().saturating_sub(self.c * one) / (2 * one);
        let of = |multiple| left / multiple * multiple;
        let most = if left < self.c && left >= CHUNK { of(CHUNK) } else { of(8) };
        Self { channels: (0, most.clamp(8, self.c)), ..*self }
    }

    /// These channels of a and b, [channels, n, ld] each.
    pub fn project(&self, job: &Job<'_>, fit: &Rows, weights: &Weights) -> Result<[Memory; 2]> {
        let (first, channels) = self.channels;
        let values = channels * self.n * self.ld;
        let [a, b] = [job.values(values)?, job.values(values)?];
        let weight = |i: usize| weights[i].address + (first * self.cz * job.precision().bytes()) as u64;
        let bias = |i: usize| job.at(i) + 4 * first as u64;
        let arguments = TriangleProject {
            z: job.at(0),
            mask: job.at(1),
            norm_scale: job.at(2),
            norm_offset: job.at(3),
            project: [weight(0), weight(2)],
            gate: [weight(1), weight(3)],
            project_bias: [bias(5), bias(9)],
            gate_bias: [bias(7), bias(11)],
            out: [a.address, b.address],
            ld: self.ld as i64,
            n: int(self.n),
            cz: int(self.cz),
            c: int(channels),
            slots: int(fit.slots),
        };
        // SAFETY: z is [n, n, cz], the mask [n, n], weights are [c, cz], of which these channels are taken, a and b [channels, n, ld].
        unsafe { job.launch_rows("triangle_multiplication", "triangle_project", fit, &arguments)? };
        Ok([a, b])
    }

    /// out = a·bᵀ a channel, all [channels, n, ld]; a factor that is `turned` is taken by columns.
    ///
    /// # Safety  All three are there.
    pub unsafe fn products(
        &self,
        job: &Job<'_>,
        (a, a_turned): (u64, bool),
        (b, b_turned): (u64, bool),
        out: u64,
    ) -> Result<()> {
        let (n, ld) = (self.n, self.ld);
        let factor = |turned| if turned { Factor::by_columns } else { Factor::by_rows };
        let products = Products::new(
            (n, n, n),
            factor(a_turned)(a, ld),
            factor(b_turned)(b, ld),
            job.precision(),
            Results::new(out, ld, job.precision()),
        );
        // SAFETY: the caller's.
        unsafe { job.products(&products.batch(self.channels.1, [n * ld; 3])) }
    }

    /// The sums over triangles of these channels, to `sums` [c, n, ld].
    ///
    /// # Safety  The factors and room for the sums are there.
    pub unsafe fn sums(&self, job: &Job<'_>, [a, b]: &[Memory; 2], sums: &Memory) -> Result<()> {
        let to = sums.address + (self.channels.0 * self.n * self.ld * job.precision().bytes()) as u64;
        // SAFETY: the caller's.
        unsafe { self.products(job, (a.address, self.incoming), (b.address, self.incoming), to) }
    }
}

/// The operation, all channels at once or as many as there is room for.
pub(crate) fn triangle_multiplication(job: &Job<'_>, incoming: bool) -> Result<bool> {
    let Some(sizes) = Sizes::of(job, incoming)? else { return Ok(false) };
    let (Sizes { n, cz, c, ld, .. }, parts) = (sizes, job.precision().parts());
    let after = Needs {
        rows: (n * n, 32),
        chunks: cz.div_ceil(32),
        slot: parts * 128 * stride(c.max(cz)),
        warp: parts * 64 * (stride(cz) + stride(c)) + STAGE,
    };
    let some = sizes.some(job);
    let (Some(_), Some(after)) = (some.project_rows(job), job.rows(&after)) else { return Ok(false) };
    let sums = job.values(sizes.values())?;
    let weights = sizes.weights(job)?;
    for first in (0..c).step_by(some.channels.1) {
        let some = Sizes { channels: (first, some.channels.1.min(c - first)), ..sizes };
        let Some(before) = some.project_rows(job) else {
            candle_core::bail!(
                "triangle_multiplication: more channels fit, expected {} to fit too",
                some.channels.1
            );
        };
        let factors = some.project(job, &before, &weights)?;
        // SAFETY: the factors are [channels, n, ld], the sums [c, n, ld].
        unsafe { some.sums(job, &factors, &sums)? };
    }
    drop(weights);
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
