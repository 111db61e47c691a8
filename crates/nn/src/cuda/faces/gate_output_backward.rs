//! Gradients of the end of a gated attention, which row and column attention share: `gate_output_backward.cu`, a matrix
//! product for the output's weight, and sums for the biases.

use super::int;
use crate::cuda::arguments::GateOutputBackward;
use crate::cuda::backward::{BackwardJob, Matrix};
use crate::cuda::geometry::Rows;
use crate::cuda::machine::{Memory, Precision};
use candle_core::Result;

/// What was attended, and how it lies under x `[n0, n1, c]`.
pub(super) struct Attended<'a> {
    /// Values `[n0·n1, hd]`, or `[o_rows, hd]` that all n0 share.
    pub o: &'a Memory,
    /// Rows of `o` if they are shared, else 0.
    pub o_rows: usize,
    /// (n0, n1).
    pub n: (usize, usize),
    /// Of x.
    pub strides: (usize, usize),
    /// Channels.
    pub c: usize,
    /// All heads' values together.
    pub hd: usize,
}

/// What goes further back.
pub(super) struct Ungated {
    /// Of the attended values `[n0·n1, hd]`.
    pub d_o: Memory,
    /// Of the gate before its sigmoid `[n0·n1, hd]`.
    pub dgate: Memory,
    /// The gate's weight, as the kernels read it.
    pub gate_weight: Memory,
}

/// Inputs 7 to 10 are the weights and biases of gate and output; `fit` is of [`super::two_products`].
pub(super) fn gate_output_backward(
    job: &BackwardJob<'_>,
    fit: &Rows,
    attended: &Attended<'_>,
) -> Result<Ungated> {
    let Attended { o, o_rows, n, strides, c, hd } = *attended;
    let rows = n.0 * n.1;
    let [d_o, dgate, gated] = [job.values(rows * hd)?, job.values(rows * hd)?, job.values(rows * hd)?];
    let grad_rows = if job.wants(9) { Some(job.values(rows * c)?) } else { None };
    let (gate_weight, out_weight) = (job.weights([7])?, job.weights([9])?);
    let arguments = GateOutputBackward {
        x: job.at(0),
        grad: job.grad(),
        norm_scale: job.at(2),
        norm_offset: job.at(3),
        gate_weight: gate_weight.address,
        gate_bias: job.at(8),
        o: o.address,
        out_weight: out_weight.address,
        d_o: d_o.address,
        dgate: dgate.address,
        gated: gated.address,
        grad_rows: grad_rows.as_ref().map_or(0, |rows| rows.address),
        stride0: strides.0 as i64,
        stride1: strides.1 as i64,
        n0: int(n.0),
        n1: int(n.1),
        c: int(c),
        hv: int(hd),
        slots: int(fit.slots),
        o_rows: int(o_rows),
    };
    // SAFETY: x and its gradient are [n0, n1, c], o is as `o_rows` says, everything made here [n0·n1, hd] or [n0·n1, c].
    unsafe { job.launch_rows("gate_output_backward", "gate_output_backward", fit, &arguments)? };
    if let Some(grad_rows) = grad_rows {
        let factors = (job.matrix(grad_rows.address, c), job.matrix(gated.address, hd));
        // SAFETY: both have a row for each of x.
        unsafe { job.weight(9, rows, factors, 1.0, false)? };
    }
    let grad = Matrix { address: job.grad(), row: c, width: c, precision: Precision::F32 };
    // SAFETY: as above.
    unsafe {
        job.bias(10, rows, grad, 0)?;
        job.bias(8, rows, job.matrix(dgate.address, hd), 0)?;
    }
    Ok(Ungated { d_o, dgate, gate_weight })
}
