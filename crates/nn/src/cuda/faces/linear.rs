//! Linear layers: matrix products, then `linear.cu` for bias, ReLU and what the result is added to; and their gradients.
//!
//! Factors are f32 whatever the machine's precision, as those layers' parameters are on the CPU: they embed, update frames and read
//! results, and together are some thousandths of a pass.

use super::int;
use crate::cuda::arguments::LinearFinish;
use crate::cuda::backward::{BackwardJob, Matrix};
use crate::cuda::job::Job;
use crate::cuda::machine::{Factor, Memory, Precision, Products, Results};
use candle_core::Result;

/// x·Wᵀ: rows, columns of the result, columns of x.
#[derive(Clone, Copy)]
pub(super) struct Layer {
    pub rows: usize,
    pub n: usize,
    pub k: usize,
}

impl Layer {
    /// Of an operation whose first inputs are x `[.., k]` and W `[n, k]`.
    fn of(job: &Job<'_>) -> Result<Self> {
        let (n, k) = job.inputs[1].dims2()?;
        Ok(Self { rows: job.inputs[0].elem_count() / k, n, k })
    }

    /// x·Wᵀ to `out`, added to what is there with `add`.
    ///
    /// # Safety  x is [rows, k], W [n, k], `out` has room for [rows, n].
    pub unsafe fn products(&self, job: &Job<'_>, (x, w): (u64, u64), out: u64, add: bool) -> Result<()> {
        let Self { rows, n, k } = *self;
        let out = Results { add, ..Results::new(out, n, Precision::F32) };
        let (x, w) = (Factor::by_rows(x, k), Factor::by_rows(w, k));
        // SAFETY: the caller's.
        unsafe { job.products(&Products::new((rows, n, k), x, w, Precision::F32, out)) }
    }

    /// grad·W to `dx`: the gradient of x.
    ///
    /// # Safety  As [`Layer::products`].
    pub unsafe fn back(&self, job: &Job<'_>, (grad, w): (u64, u64), dx: u64) -> Result<()> {
        let Self { rows, n, k } = *self;
        let (grad, w) = (Factor::by_rows(grad, n), Factor::by_columns(w, k));
        let out = Results::new(dx, k, Precision::F32);
        // SAFETY: the caller's.
        unsafe { job.products(&Products::new((rows, k, n), grad, w, Precision::F32, out)) }
    }

    /// The layer with its `bias`, or none, to where the operation's result goes.
    ///
    /// # Safety  As [`Layer::products`]; the bias is [n].
    pub unsafe fn run(&self, job: &Job<'_>, (x, w): (u64, u64), bias: u64, relu: bool) -> Result<()> {
        let adds = job.residual != 0;
        // What is added passes through ReLU, the sum does not: then products need a place of their own.
        let own = if adds && relu { Some(job.floats(self.rows * self.n)?) } else { None };
        let y = own.as_ref().map_or(job.out, |own| own.address);
        // SAFETY: the caller's.
        unsafe {
            self.products(job, (x, w), y, adds && !relu)?;
            if bias == 0 && !relu {
                return Ok(());
            }
            let residual = if relu { job.residual } else { 0 };
            self.finish(job, "linear_finish", (y, bias, residual), job.out, relu)
        }
    }

    /// Launches a kernel of `linear.cu`.
    unsafe fn finish(
        &self,
        job: &Job<'_>,
        kernel: &str,
        (y, bias, residual): (u64, u64, u64),
        out: u64,
        relu: bool,
    ) -> Result<()> {
        let (rows, n) = (self.rows as i64, int(self.n));
        let arguments = LinearFinish { y, bias, residual, out, rows, n, relu: i32::from(relu) };
        // SAFETY: all are [rows, n], the bias [n].
        unsafe { job.launch_values("linear", kernel, self.rows * self.n, &arguments) }
    }
}

/// Adds `n` values to others where these lie.
///
/// # Safety  Both addresses are valid for so many f32 values.
pub(crate) unsafe fn add_values(job: &Job<'_>, (to, values): (u64, u64), n: usize) -> Result<()> {
    let arguments = LinearFinish { y: to, bias: 0, residual: values, out: to, rows: n as i64, n: 1, relu: 0 };
    // SAFETY: the caller's.
    unsafe { job.launch_values("linear", "linear_finish", n, &arguments) }
}

/// Inputs as in `ops/linear`: x, weight, bias or none.
pub(crate) fn linear(job: &Job<'_>, relu: bool) -> Result<bool> {
    let layer = Layer::of(job)?;
    let bias = if job.inputs.len() > 2 { job.at(2) } else { 0 };
    // SAFETY: x is [rows, k], the weight [n, k], the bias [n], the result [rows, n].
    unsafe { layer.run(job, (job.at(0), job.at(1)), bias, relu)? };
    Ok(true)
}

/// Its gradients.
pub(crate) fn linear_backward(job: &BackwardJob<'_>, relu: bool) -> Result<bool> {
    let layer = Layer::of(job)?;
    let Layer { rows, n, k } = layer;
    let biased = job.inputs.len() > 2;
    let passed: Option<Memory> = if relu { Some(job.floats(rows * n)?) } else { None };
    if let Some(passed) = &passed {
        let bias = if biased { job.at(2) } else { 0 };
        // SAFETY: x is [rows, k], the weight [n, k], the bias [n]; the gradient and what passes are [rows, n].
        unsafe {
            layer.products(job, (job.at(0), job.at(1)), passed.address, false)?;
            let from = (passed.address, bias, job.grad());
            layer.finish(job, "linear_relu_backward", from, passed.address, true)?;
        }
    }
    let grad = passed.as_ref().map_or(job.grad(), |passed| passed.address);
    let matrix = |address, width| Matrix { address, row: width, width, precision: Precision::F32 };
    // SAFETY: as above; gradients have the shapes of their inputs.
    unsafe {
        if job.wants(0) {
            layer.back(job, (grad, job.at(1)), job.to(0))?;
        }
        job.weight(1, rows, (matrix(grad, n), matrix(job.at(0), k)), 1.0, false)?;
        if biased {
            job.bias(2, rows, matrix(grad, n), 0)?;
        }
    }
    Ok(true)
}
