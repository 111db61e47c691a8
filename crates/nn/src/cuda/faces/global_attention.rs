//! Global column attention: `layer_norm_project.cu`, `global_attention.cu`, `gate_output.cu`.

use super::{HEAD_DIMS, gate_output, int, layer_norm_project, takes};
use crate::cuda::arguments::{GateOutput, GlobalAttention, LayerNormProject};
use crate::cuda::geometry::Rows;
use crate::cuda::job::Job;
use crate::cuda::machine::{Launch, Memory};
use candle_core::Result;

/// Warps of a block, which takes a column.
pub(super) const WARPS: usize = 8;

/// Sizes of a global attention: sequences, columns, channels, heads, channels of a head and of all.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub s: usize,
    pub r: usize,
    pub c: usize,
    pub heads: usize,
    pub d: usize,
    pub hd: usize,
}

/// What the forward pass leaves for the backward pass: mean `[r, c]`, queries `[r, h·d]`, stats `[r, h, 2]`; or null.
#[derive(Clone, Copy, Default)]
pub(super) struct Left {
    pub mean: u64,
    pub queries: u64,
    pub stats: u64,
}

impl Sizes {
    /// None if there is no kernel for these inputs, as in `ops/global_attention`: m, mask, norm, q, k, v, gate, out.
    pub fn of(job: &Job<'_>, heads: usize) -> Result<Option<Self>> {
        let t = job.inputs;
        let (s, r, c) = t[0].dims3()?;
        let (hd, d) = (t[4].dim(0)?, t[5].dim(0)?);
        let same = hd == heads * d && t[6].dim(0)? == d && t[7].dim(0)? == hd;
        if !same || !HEAD_DIMS.contains(&d) || !takes(c) || !takes(hd) {
            return Ok(None);
        }
        Ok(Some(Self { s, r, c, heads, d, hd }))
    }

    /// How keys and values are made.
    pub fn project_rows(&self, job: &Job<'_>) -> Option<Rows> {
        job.rows(&layer_norm_project(self.s * self.r, self.c, 2 * self.d, job.precision().parts()))
    }

    /// Keys and values [s·r, 2·d].
    pub fn project(&self, job: &Job<'_>, fit: &Rows) -> Result<Memory> {
        let Self { s, r, c, d, .. } = *self;
        let kv = job.values(s * r * 2 * d)?;
        let weights = job.weights([5, 6])?;
        let arguments = LayerNormProject {
            x: job.at(0),
            norm_scale: job.at(2),
            norm_offset: job.at(3),
            weight: weights.address,
            out: kv.address,
            stride0: (r * c) as i64,
            stride1: c as i64,
            group_stride: (s * r * 2 * d) as i64,
            n0: int(s),
            n1: int(r),
            c: int(c),
            width: int(2 * d),
            group: int(2 * d),
            slots: int(fit.slots),
            scale: 1.0,
            ..LayerNormProject::default()
        };
        // SAFETY: m is [s, r, c], the weights are [2·d, c], keys and values [s·r, 2·d].
        unsafe { job.launch_rows("layer_norm_project", "layer_norm_project", fit, &arguments)? };
        Ok(kv)
    }

    /// The values behind the keys.
    pub fn values_of(&self, job: &Job<'_>, kv: &Memory) -> u64 {
        kv.address + (self.d * job.precision().bytes()) as u64
    }

    /// Every column attends: [r, heads·d].
    pub fn attend(&self, job: &Job<'_>, kv: &Memory, left: Left) -> Result<Memory> {
        let Self { s, r, c, heads, d, hd } = *self;
        let o = job.values(r * hd)?;
        let query_weight = job.weights([4])?;
        let arguments = GlobalAttention {
            x: job.at(0),
            norm_scale: job.at(2),
            norm_offset: job.at(3),
            mask: job.at(1),
            query_weight: query_weight.address,
            k: kv.address,
            v: self.values_of(job, kv),
            o: o.address,
            mean: left.mean,
            queries: left.queries,
            stats: left.stats,
            stride0: (r * c) as i64,
            stride1: c as i64,
            kv_stride0: (r * 2 * d) as i64,
            kv_stride1: (2 * d) as i64,
            s: int(s),
            r: int(r),
            c: int(c),
            heads: int(heads),
        };
        let launch = Launch {
            file: "global_attention",
            kernel: format!("global_attention_f32_{}_{d}", job.precision().name()),
            blocks: r,
            turns: true,
            threads: 32 * WARPS,
            shared: 4 * (WARPS * (c + 1) + c + hd),
        };
        // SAFETY: m is [s, r, c], the mask [s, r], the weight [h·d, c], o [r, h·d].
        unsafe { job.launch(&launch, &arguments)? };
        Ok(o)
    }
}

/// The operation.
pub(crate) fn global_attention(job: &Job<'_>, heads: usize) -> Result<bool> {
    let Some(sizes) = Sizes::of(job, heads)? else { return Ok(false) };
    let Sizes { s, r, c, hd, .. } = sizes;
    let gate = job.rows(&gate_output(s * r, c, hd, job.precision().parts()));
    let (Some(project), Some(gate)) = (sizes.project_rows(job), gate) else { return Ok(false) };
    let kv = sizes.project(job, &project)?;
    let o = sizes.attend(job, &kv, Left::default())?;
    drop(kv);

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
