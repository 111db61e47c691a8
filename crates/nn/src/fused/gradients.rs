//! Gradients of an operation: by its reference, or on a GPU by its kernels.

use super::Fused;
use crate::cuda::{self, BackwardJob, Keep};
use candle_core::{DType, Result, Tensor, Var};

/// Gradients by candle: the reference is run again on a tape of its own, so nothing but the inputs is kept
/// from the forward pass.
///
/// # Errors  If the reference or its gradient fails on these inputs.
pub fn reference_backward(
    op: &(impl Fused + ?Sized),
    inputs: &[Tensor],
    grad: &Tensor,
    wanted: &[bool],
) -> Result<Vec<Option<Tensor>>> {
    let tensors = inputs
        .iter()
        .zip(wanted)
        .map(|(t, &wanted)| Ok(if wanted { Var::from_tensor(t)?.into_inner() } else { t.clone() }))
        .collect::<Result<Vec<_>>>()?;
    let out = op.reference(&tensors)?;
    let grads = (out * grad)?.sum_all()?.backward()?;
    let of = |(t, &wanted): (&Tensor, &bool)| if wanted { grads.get(t).map(Tensor::detach) } else { None };
    Ok(tensors.iter().zip(wanted).map(of).collect())
}

/// Gradients on the GPU where the inputs are: by kernels, else the reference's. `keep`: copies of parameters.
pub(super) fn on_gpu(
    op: &dyn Fused,
    inputs: &[Tensor],
    grad: &Tensor,
    wanted: &[bool],
    keep: Keep,
) -> Result<Vec<Option<Tensor>>> {
    if let Some(machine) = cuda::machine(grad.device()) {
        let empty = |(t, &wanted): (&Tensor, &bool)| -> Result<Option<Tensor>> {
            // SAFETY: the operation writes all of every gradient that is wanted, and nobody reads it before.
            let make = || unsafe { Tensor::empty(t.shape(), DType::F32, grad.device()) };
            Ok(if wanted { Some(make()?) } else { None })
        };
        let grads = inputs.iter().zip(wanted).map(empty).collect::<Result<Vec<_>>>()?;
        let address = |t: &Option<Tensor>| t.as_ref().map_or(Ok(0), |t| machine.address(t));
        let addresses = grads.iter().map(address).collect::<Result<_>>()?;
        let job = BackwardJob::new(&*machine, inputs, machine.address(grad)?, addresses, keep)?;
        if job.run(op)? {
            return Ok(grads);
        }
    }
    reference_backward(op, inputs, grad, wanted)
}
