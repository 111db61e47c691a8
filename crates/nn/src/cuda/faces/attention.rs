//! Gated attention: `layer_norm_project.cu`, `attention.cu`, `gate_output.cu`.

use super::{HEAD_DIMS, LOG2E, gate_output, int, layer_norm_project, takes};
use crate::cuda::arguments::{Attention, GateOutput, LayerNormProject, PadRows};
use crate::cuda::geometry::{Attending, Rows};
use crate::cuda::job::Job;
use crate::cuda::machine::{Launch, Memory};
use candle_core::Result;

/// Attended rows of a group of blocks, which share tiles of the bias.
const GROUP: usize = 16;

/// Sizes of an attention, and how its values lie.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Rows and channels of x; channels of all heads and of one.
    pub rows: usize,
    pub c: usize,
    pub hd: usize,
    pub d: usize,
    pub heads: usize,
    /// First attended row, how many, and their length.
    pub first: usize,
    pub batch: usize,
    pub n: usize,
    /// Elements from one attended row to the next, and from one of its positions to the next, in x and in the mask.
    pub x_strides: (usize, usize),
    pub mask_strides: (usize, usize),
    /// Elements of a row of the bias as the kernel takes it; none without a bias.
    pub bias: Option<usize>,
}

impl Sizes {
    /// None if there is no kernel for these inputs, as in `ops/attention`: x, mask, norm, q, k, v, gate, out, bias or none.
    pub fn of(job: &Job<'_>, heads: usize, per_column: bool) -> Result<Option<Self>> {
        let t = job.inputs;
        let (n0, n1, c) = t[0].dims3()?;
        let (hd, hv) = (t[4].dim(0)?, t[6].dim(0)?);
        let d = hd / heads;
        if hd != hv || !hd.is_multiple_of(heads) || !HEAD_DIMS.contains(&d) || !takes(c) || !takes(hd) {
            return Ok(None);
        }
        let (batch, n, x_strides, mask_strides) =
            if per_column { (n1, n0, (c, n1 * c), (1, n1)) } else { (n0, n1, (n1 * c, c), (n1, 1)) };
        let bias = (t.len() > 11).then(|| n.next_multiple_of(32));
        Ok(Some(Self { rows: n0 * n1, c, hd, d, heads, first: 0, batch, n, x_strides, mask_strides, bias }))
    }

    /// How queries, keys and values are made.
    pub fn project_rows(&self, job: &Job<'_>) -> Option<Rows> {
        job.rows(&layer_norm_project(self.rows, self.c, 3 * self.hd, job.precision().parts()))
    }

    /// How rows attend.
    pub fn attending(&self, job: &Job<'_>) -> Option<Attending> {
        let sizes = (self.batch, self.heads, self.n, self.d);
        Attending::fit(sizes, job.precision().parts(), self.bias.is_some(), job.machine.shared())
    }

    /// How results are gated.
    fn gate_rows(&self, job: &Job<'_>) -> Option<Rows> {
        job.rows(&gate_output(self.rows, self.c, self.hd, job.precision().parts()))
    }

    /// Attended rows at a time: of queries, keys, values and results no more than there is room for; whole groups of blocks where
    /// there are many.
    fn at_once(&self, job: &Job<'_>) -> usize {
        let one = 4 * self.n * self.hd * job.precision().bytes();
        let most = (job.machine.room() / one).clamp(1, self.batch);
        if most < self.batch && most > GROUP { most / GROUP * GROUP } else { most }
    }

    /// At most `batch` attended rows from `first` on.
    fn some(&self, first: usize, batch: usize) -> Self {
        let batch = batch.min(self.batch - first);
        Self { first, batch, rows: batch * self.n, ..*self }
    }

    /// Where the first row lies in a representation at `address`.
    fn place(&self, address: u64) -> u64 {
        address + 4 * (self.first * self.x_strides.0) as u64
    }

    /// Queries, keys and values, each [batch, n, heads, d].
    pub fn project(&self, job: &Job<'_>, fit: &Rows) -> Result<Memory> {
        let (rows, hd) = (self.rows, self.hd);
        let qkv = job.values(3 * rows * hd)?;
        let weights = job.weights([4, 5, 6])?;
        let arguments = LayerNormProject {
            x: self.place(job.at(0)),
            norm_scale: job.at(2),
            norm_offset: job.at(3),
            weight: weights.address,
            out: qkv.address,
            stride0: self.x_strides.0 as i64,
            stride1: self.x_strides.1 as i64,
            group_stride: (rows * hd) as i64,
            n0: int(self.batch),
            n1: int(self.n),
            c: int(self.c),
            width: int(3 * hd),
            group: int(hd),
            scaled: int(hd),
            slots: int(fit.slots),
            scale: self.query_scale(),
            ..LayerNormProject::default()
        };
        // SAFETY: x is [n0, n1, c], the weights are [3·hd, c], qkv has room for three times [batch, n, hd].
        unsafe { job.launch_rows("layer_norm_project", "layer_norm_project", fit, &arguments)? };
        Ok(qkv)
    }

    /// What queries are multiplied with.
    pub fn query_scale(&self) -> f32 {
        LOG2E / (self.d as f32).sqrt()
    }

    /// The bias in powers of two, its rows aligned.
    pub fn pad_bias(&self, job: &Job<'_>) -> Result<Option<Memory>> {
        let Some(ld) = self.bias else { return Ok(None) };
        let rows = self.heads * self.n;
        let bias = job.floats(rows * ld)?;
        let arguments =
            PadRows { from: job.at(11), to: bias.address, rows: rows as i64, n: int(self.n), ld: int(ld) };
        // SAFETY: the bias is [h, n, n], its copy [h, n, ld].
        unsafe { job.launch_values("pad_rows", "pad_rows_log2e", rows * ld, &arguments)? };
        Ok(Some(bias))
    }

    /// Queries, keys and values attend: the result [batch, n, heads, d]. `stats`, or null, for the backward pass.
    pub fn attend(
        &self,
        job: &Job<'_>,
        attending: &Attending,
        (qkv, bias): (&Memory, Option<&Memory>),
        stats: u64,
    ) -> Result<Memory> {
        let o = job.values(self.rows * self.hd)?;
        let (row, ld) = (self.n * self.hd, self.bias.unwrap_or(0));
        let arguments = Attention {
            q: self.part(job, qkv, 0),
            k: self.part(job, qkv, 1),
            v: self.part(job, qkv, 2),
            bias: bias.map_or(0, |bias| bias.address),
            mask: job.at(1) + 4 * (self.first * self.mask_strides.0) as u64,
            o: o.address,
            stats,
            batch_stride: row as i64,
            position_stride: self.hd as i64,
            head_stride: self.d as i64,
            o_batch_stride: row as i64,
            o_position_stride: self.hd as i64,
            o_head_stride: self.d as i64,
            bias_head_stride: (self.n * ld) as i64,
            bias_stride0: ld as i64,
            mask_batch_stride: self.mask_strides.0 as i64,
            mask_position_stride: self.mask_strides.1 as i64,
            batch: int(self.batch),
            heads: int(self.heads),
            n: int(self.n),
        };
        let launch = Launch {
            file: "attention",
            kernel: format!("attention_{}_{}", job.precision().name(), self.d),
            blocks: attending.blocks,
            turns: false,
            threads: 128 * attending.together,
            shared: attending.shared,
        };
        // SAFETY: q, k, v and o are [batch, n, heads, d], the mask is [n0, n1], the bias [h, n, ld].
        unsafe { job.launch(&launch, &arguments)? };
        Ok(o)
    }

    /// Part `i` of queries, keys and values, or of their gradients.
    pub fn part(&self, job: &Job<'_>, qkv: &Memory, i: usize) -> u64 {
        qkv.address + (i * self.rows * self.hd * job.precision().bytes()) as u64
    }
}

/// The operation, all rows at once or as many as there is room for.
pub(crate) fn attention(job: &Job<'_>, heads: usize, per_column: bool) -> Result<bool> {
    let Some(sizes) = Sizes::of(job, heads, per_column)? else { return Ok(false) };
    let most = sizes.some(0, sizes.at_once(job));
    let (Some(_), Some(_), Some(_)) = (most.project_rows(job), most.attending(job), most.gate_rows(job))
    else {
        return Ok(false);
    };
    let bias = sizes.pad_bias(job)?;
    for first in (0..sizes.batch).step_by(most.batch) {
        part(job, &sizes.some(first, most.batch), bias.as_ref())?;
    }
    Ok(true)
}

/// Some attended rows.
fn part(job: &Job<'_>, sizes: &Sizes, bias: Option<&Memory>) -> Result<()> {
    let &Sizes { c, hd, .. } = sizes;
    let (Some(project), Some(attending), Some(gate)) =
        (sizes.project_rows(job), sizes.attending(job), sizes.gate_rows(job))
    else {
        candle_core::bail!("attention: more rows fit, expected {} to fit too", sizes.batch);
    };
    let qkv = sizes.project(job, &project)?;
    let o = sizes.attend(job, &attending, (&qkv, bias), 0)?;
    drop(qkv);

    let (gate_weight, out_weight) = (job.weights([7])?, job.weights([9])?);
    let arguments = GateOutput {
        x: sizes.place(job.at(0)),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        gate_weight: gate_weight.address,
        gate_bias: job.at(8),
        o: o.address,
        out_weight: out_weight.address,
        out_bias: job.at(10),
        residual: if job.residual == 0 { 0 } else { sizes.place(job.residual) },
        out: sizes.place(job.out),
        stride0: sizes.x_strides.0 as i64,
        stride1: sizes.x_strides.1 as i64,
        n0: int(sizes.batch),
        n1: int(sizes.n),
        c: int(c),
        hv: int(hd),
        slots: int(gate.slots),
        o_rows: 0,
    };
    // SAFETY: o is [batch·n, hd]; x, what is added to and the result are [n0, n1, c], of which these rows are taken.
    unsafe { job.launch_rows("gate_output", "gate_output", &gate, &arguments) }
}
