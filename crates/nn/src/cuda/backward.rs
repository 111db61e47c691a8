//! An operation's gradients to be made on a machine, and the ends that backward passes share: back through a layer norm, and
//! gradients of weights and biases. Every sum has an order that depends on the sizes and the machine alone.

use super::arguments::{ColumnSums, LayerNormProjectBackward, LeafSums, Projected, SumLeaves};
use super::faces::{add_values, int, layer_norm_project_backward, width_of};
use super::geometry::Rows;
use super::job::Job;
use super::machine::{Factor, Keep, Launch, Machine, Memory, Precision, Products, Results};
use crate::fused::Fused;
use candle_core::{Result, Tensor};
use std::cell::RefCell;
use std::ops::Deref;

/// An operation's inputs, the gradient of its result, and where the gradients of inputs go.
pub struct BackwardJob<'a> {
    job: Job<'a>,
    gradients: Vec<u64>,
    /// Sums whose leaves are there: one launch makes several.
    sums: RefCell<Vec<(LeafSums, Memory)>>,
}

impl<'a> Deref for BackwardJob<'a> {
    type Target = Job<'a>;

    fn deref(&self) -> &Job<'a> {
        &self.job
    }
}

/// Rows of `width` values in memory.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub address: u64,
    /// Elements from row to row.
    pub row: usize,
    pub width: usize,
    pub precision: Precision,
}

/// What reached LN(x) `[n0, n1, c]`: the last step of a backward pass takes it back to x.
pub(super) struct End<'a> {
    /// x, and whether it has the precision of intermediate values rather than f32.
    pub x: u64,
    pub inner: bool,
    pub n: (usize, usize),
    pub c: usize,
    /// Elements of x and dx from row to row.
    pub strides: (usize, usize),
    /// Which input is the norm's scale; its offset follows.
    pub norm: usize,
    pub projected: &'a [Projected],
    /// Gradient of a bias `[heads, n0, n1]` in f32, its weight, where the gradient's rows go or null, how many heads.
    pub heads: Option<(u64, u64, u64, usize)>,
    pub mask: u64,
    /// Gradient `[n1, c]` that all rows share, and each row's share.
    pub column: (u64, u64),
    pub dx: u64,
    /// Where LN(x), times the mask, goes for the gradients of weights; or null.
    pub normed: u64,
    /// Where the gradients of the norm's scale and offset go; null if not wanted.
    pub of_norm: [u64; 2],
}

/// Two sums over rows that are made some rows at a time: each part leaves its own, and these are added up last.
pub(super) struct Parts {
    to: [(u64, usize); 2],
    count: usize,
    leaves: Option<Memory>,
}

impl Parts {
    /// Sums of so many values to places that may be null, in `count` parts.
    pub fn new(job: &BackwardJob<'_>, to: [(u64, usize); 2], count: usize) -> Result<Self> {
        let wanted = to.iter().any(|&(to, _)| to != 0);
        let leaves = if wanted && count > 1 { Some(job.floats(count * (to[0].1 + to[1].1))?) } else { None };
        Ok(Self { to, count, leaves })
    }

    /// Where part `i` puts its sums.
    pub fn places(&self, i: usize) -> [u64; 2] {
        match &self.leaves {
            None => self.to.map(|(to, _)| to),
            Some(leaves) => {
                let first = leaves.address + (4 * i * (self.to[0].1 + self.to[1].1)) as u64;
                [first, first + 4 * self.to[0].1 as u64]
            }
        }
    }

    /// Adds the parts up.
    ///
    /// # Safety  Every part has put its sums.
    pub unsafe fn finish(self, job: &BackwardJob<'_>) -> Result<()> {
        let Some(leaves) = self.leaves else { return Ok(()) };
        // SAFETY: as the caller's; what the parts' own sums wait for is made first.
        unsafe {
            job.finish_sums()?;
            job.sum_leaves(leaves, self.count, &self.to)
        }
    }
}

impl<'a> BackwardJob<'a> {
    /// Gradients of `inputs` from `grad`, that of the result, to the addresses `gradients`; null for inputs that need none.
    ///
    /// # Errors  If an input is no contiguous f32 tensor of the machine.
    pub fn new(
        machine: &'a dyn Machine,
        inputs: &'a [Tensor],
        grad: u64,
        gradients: Vec<u64>,
        keep: Keep,
    ) -> Result<Self> {
        Ok(Self { job: Job::new(machine, inputs, grad, false, keep)?, gradients, sums: RefCell::default() })
    }

    /// The operation on the first `n` of these inputs, with the same gradient of its result.
    pub(crate) fn first(&self, n: usize) -> Self {
        Self { job: self.job.added(n), gradients: self.gradients[..n].to_vec(), sums: RefCell::default() }
    }

    /// The gradient of the result to input `i`, of the same shape: added to the one that is there, or put there.
    pub(crate) fn pass_on(&self, i: usize, add: bool) -> Result<()> {
        let (to, grad, n) = (self.to(i), self.grad(), self.inputs[i].elem_count());
        if add {
            // SAFETY: both have the input's shape.
            return unsafe { add_values(&self.job, (to, grad), n) };
        }
        // SAFETY: as above; they are two memories.
        unsafe { self.machine.copy(grad, to, 4 * n) }
    }

    /// The gradients of an operation; `false`, before anything was launched, if it has no kernels for them.
    ///
    /// # Errors  As [`Fused::cuda_backward`].
    pub(crate) fn run(&self, op: &dyn Fused) -> Result<bool> {
        let regular = self.job.is_regular() && self.gradients.iter().all(|a| a.is_multiple_of(16));
        let done = regular && op.cuda_backward(self)?;
        // SAFETY: every sum that waits was given with its leaves.
        unsafe { self.finish_sums()? };
        Ok(done)
    }

    /// The gradient of the result.
    pub(super) fn grad(&self) -> u64 {
        self.job.out
    }

    /// Where the gradients of a norm go, whose scale is input `i`.
    pub(super) fn to_norm(&self, i: usize) -> [u64; 2] {
        [self.to(i), self.to(i + 1)]
    }

    /// Whether the gradient of input `i` is wanted.
    pub(crate) fn wants(&self, i: usize) -> bool {
        self.gradients[i] != 0
    }

    /// Where the gradient of input `i` goes; null if it is not wanted.
    pub(super) fn to(&self, i: usize) -> u64 {
        self.gradients[i]
    }

    /// Where a result goes that kernels write in any case: the gradient of input `i`, or memory that is dropped.
    pub(super) fn to_or_scratch(&self, i: usize) -> Result<(u64, Option<Memory>)> {
        if self.wants(i) {
            return Ok((self.to(i), None));
        }
        let scratch = self.floats(self.inputs[i].elem_count())?;
        Ok((scratch.address, Some(scratch)))
    }

    /// `rows` rows of `width` intermediate values as they lie at `address`.
    pub(super) fn matrix(&self, address: u64, width: usize) -> Matrix {
        Matrix { address, row: width, width, precision: self.precision() }
    }

    /// Gradient of the weight `[out, in]` that is input `i`, from `grads` `[rows, out]` of its results and `values`
    /// `[rows, in]`: scale·gradsᵀ·values, added to what is there with `add`.
    ///
    /// # Safety  Both matrices have `rows` rows.
    pub(super) unsafe fn weight(
        &self,
        i: usize,
        rows: usize,
        (grads, values): (Matrix, Matrix),
        scale: f32,
        add: bool,
    ) -> Result<()> {
        if !self.wants(i) {
            return Ok(());
        }
        let products = Products {
            scale,
            ..Products::new(
                (grads.width, values.width, rows),
                Factor::by_columns(grads.address, grads.row),
                Factor::by_columns(values.address, values.row),
                grads.precision,
                Results { add, ..Results::new(self.to(i), values.width, Precision::F32) },
            )
        };
        // SAFETY: as the caller's; the gradient is [out, in].
        unsafe { self.products(&products) }
    }

    /// Gradient of the bias that is input `i`: the sum of `rows` rows of gradients, times their `weights` if these are not null.
    ///
    /// # Safety  As many rows, and weights, are there.
    pub(super) unsafe fn bias(&self, i: usize, rows: usize, grads: Matrix, weights: u64) -> Result<()> {
        // SAFETY: as the caller's; the bias is as wide as the rows.
        unsafe { self.column_sums(rows, grads, weights, &[(self.to(i), grads.width)]) }
    }

    /// Sums of `rows` rows: of so many columns to each of at most four places, which may be null. They are there after
    /// [`BackwardJob::finish_sums`].
    ///
    /// # Safety  As [`BackwardJob::bias`]; the places have room.
    pub(super) unsafe fn column_sums(
        &self,
        rows: usize,
        grads: Matrix,
        weights: u64,
        to: &[(u64, usize)],
    ) -> Result<()> {
        if to.iter().all(|&(to, _)| to == 0) {
            return Ok(());
        }
        // All processors have some rows, each at least 64.
        let slabs = 2 * self.machine.processors() / grads.width.div_ceil(64);
        let slabs = slabs.clamp(1, rows.div_ceil(64));
        let leaves = if slabs > 1 || to.len() > 1 { Some(self.floats(slabs * grads.width)?) } else { None };
        let place = leaves.as_ref().map_or(to[0].0, |leaves| leaves.address);
        let arguments = ColumnSums {
            x: grads.address,
            weights,
            leaves: place,
            row_stride: grads.row as i64,
            rows: rows as i64,
            width: int(grads.width),
            slabs: int(slabs),
        };
        let launch = Launch {
            file: "sums",
            kernel: format!("column_sums_{}", grads.precision.name()),
            blocks: grads.width.div_ceil(64) * slabs,
            turns: false,
            threads: 256,
            shared: 2048,
        };
        // SAFETY: as the caller's; there are as many leaves as slabs.
        unsafe {
            self.launch(&launch, &arguments)?;
            leaves.map_or(Ok(()), |leaves| self.sum_leaves(leaves, slabs, to))
        }
    }

    /// The sums of `n` leaves, when [`BackwardJob::finish_sums`] makes them: so many columns to each of at most four places; null
    /// places get none.
    ///
    /// # Safety  The leaves are there, and the places have room.
    pub(super) unsafe fn sum_leaves(&self, leaves: Memory, n: usize, places: &[(u64, usize)]) -> Result<()> {
        let width = places.iter().map(|(_, columns)| columns).sum();
        let mut part =
            LeafSums { leaves: leaves.address, n: int(n), width: int(width), ..LeafSums::default() };
        assert!(places.len() <= part.to.len(), "{} places for sums", places.len());
        part.end = [int(width); 4];
        let mut end = 0;
        for (i, &(to, columns)) in places.iter().enumerate() {
            end += columns;
            (part.to[i], part.end[i]) = (to, int(end));
        }
        self.sums.borrow_mut().push((part, leaves));
        Ok(())
    }

    /// Makes the sums that wait: before something reads one, and at the end.
    ///
    /// # Safety  Their leaves are there.
    pub(super) unsafe fn finish_sums(&self) -> Result<()> {
        let waiting = self.sums.take();
        for some in waiting.chunks(SumLeaves::default().parts.len()) {
            let mut arguments = SumLeaves { count: int(some.len()), ..SumLeaves::default() };
            for (to, (part, _)) in arguments.parts.iter_mut().zip(some) {
                *to = *part;
            }
            let blocks = some.iter().map(|(part, _)| (part.width as usize).div_ceil(256)).sum();
            let (file, kernel) = ("sums", "sum_leaves".into());
            let launch = Launch { file, kernel, blocks, turns: false, threads: 256, shared: 0 };
            // SAFETY: as the caller's.
            unsafe { self.launch(&launch, &arguments)? };
        }
        Ok(())
    }

    /// What [`BackwardJob::end`] needs; none if it does not fit.
    pub(super) fn end_rows(&self, rows: usize, c: usize) -> Option<Rows> {
        self.rows(&layer_norm_project_backward(rows, c, self.precision().parts())?)
    }

    /// Back through a layer norm, with the gradients of its scale and offset.
    ///
    /// # Safety  All addresses have what their fields say.
    pub(super) unsafe fn end(&self, end: &End<'_>, fit: &Rows) -> Result<()> {
        let (scale, c) = (end.norm, end.c);
        let mut projected = [Projected::default(); 6];
        projected[..end.projected.len()].copy_from_slice(end.projected);
        let (heads_grad, heads_weight, heads_rows, heads) = end.heads.unwrap_or_default();
        let own = self.precision().name();
        let Some(most) = width_of(c) else {
            candle_core::bail!("expected channels that a layer norm's kernel takes, got {c}");
        };
        let mut launch = Launch {
            file: "layer_norm_project_backward",
            kernel: format!(
                "layer_norm_project_backward_{}_{own}_{most}",
                if end.inner { own } else { "f32" }
            ),
            blocks: fit.tiles,
            turns: true,
            threads: 32 * fit.warps,
            shared: fit.shared,
        };
        // Every warp of every block leaves its own sums, so the number of blocks is settled here.
        (launch.blocks, launch.turns) = (self.machine.blocks(&launch)?, false);
        let of_norm = end.of_norm != [0, 0];
        let count = launch.blocks * fit.warps;
        let leaves = if of_norm { Some(self.floats(count * 2 * c)?) } else { None };
        let arguments = LayerNormProjectBackward {
            x: end.x,
            norm_scale: self.at(scale),
            norm_offset: self.at(scale + 1),
            projected,
            heads_grad,
            heads_weight,
            heads_rows,
            mask: end.mask,
            column_grad: end.column.0,
            share: end.column.1,
            grad: 0,
            dx: end.dx,
            normed: end.normed,
            leaves: leaves.as_ref().map_or(0, |leaves| leaves.address),
            stride0: end.strides.0 as i64,
            stride1: end.strides.1 as i64,
            heads_stride: (end.n.0 * end.n.1) as i64,
            heads_stride0: end.n.1 as i64,
            n0: int(end.n.0),
            n1: int(end.n.1),
            c: int(c),
            count: int(end.projected.len()),
            heads: int(heads),
            heads_scale: 1.0,
        };
        // SAFETY: the caller's; the leaves are [blocks·warps, 2, c].
        unsafe {
            self.launch(&launch, &arguments)?;
            if let Some(leaves) = leaves {
                let [scale, offset] = end.of_norm;
                self.sum_leaves(leaves, count, &[(scale, c), (offset, c)])?;
            }
        }
        Ok(())
    }
}
