//! x + update as one operation under the tape, for the residual connections of training.
//!
//! As a sum of two tensors it would take one more tensor, and going back candle would clear and fill one for each of its
//! sides, on a GPU too; here the update is added to a copy of x, and the sum's gradient to the one that the operation finds for x.

use crate::cuda::{BackwardJob, Job};
use crate::fused::Fused;
use crate::ops::residual;
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};
use std::sync::Arc;

/// `op` of all inputs but the last, added to the last; or of all inputs, added to the first.
pub(crate) struct Added {
    op: Arc<dyn Fused>,
    /// x is the first input of the operation, and not given twice.
    own: bool,
}

impl Added {
    /// The operation that adds `op` of `inputs` to `x`, and its inputs.
    pub fn new(op: Arc<dyn Fused>, mut inputs: Vec<Tensor>, x: Tensor) -> (Self, Vec<Tensor>) {
        let own = inputs[0].id() == x.id();
        if !own {
            inputs.push(x);
        }
        (Self { op, own }, inputs)
    }

    /// What the operation reads, and where x is.
    fn parts<'a, T>(&self, inputs: &'a [T]) -> (&'a [T], usize) {
        let last = inputs.len() - 1;
        if self.own { (inputs, 0) } else { (&inputs[..last], last) }
    }
}

impl Fused for Added {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn shape(&self, inputs: &[Tensor]) -> Result<Shape> {
        let (own, x) = self.parts(inputs);
        let shape = self.op.shape(own)?;
        if shape.dims() != inputs[x].dims() {
            candle_core::bail!("{}: expected to add to {shape:?}, got {:?}", self.name(), inputs[x].dims());
        }
        Ok(shape)
    }

    fn forward(&self, inputs: &[Tensor], first: Source<'_>, out: Place<'_>) -> Result<()> {
        let (own, x) = self.parts(inputs);
        {
            let x = crate::ops::value(&inputs[x])?;
            // SAFETY: nobody else has the result, which is another memory than the inputs, as `may_alias` says.
            unsafe { out.put(0, &x) };
        }
        self.op.forward(own, first, out.adding())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        let (own, x) = self.parts(job.inputs());
        let inner = job.added(own.len());
        if job.adds() || !inner.is_regular() {
            return Ok(false);
        }
        // The copy is lost where the operation's kernels do not take the sizes.
        job.begin_with(x)?;
        self.op.cuda(&inner)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        let (own, x) = self.parts(job.inputs());
        let of_update = (0..own.len()).any(|i| job.wants(i));
        if of_update && !job.first(own.len()).run(&*self.op)? {
            return Ok(false);
        }
        if job.wants(x) {
            job.pass_on(x, self.own)?;
        }
        Ok(true)
    }

    fn reference(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let (own, x) = self.parts(inputs);
        &inputs[x] + self.op.reference(own)?
    }

    fn backward(&self, inputs: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (own, x) = self.parts(inputs);
        let mut grads = if wanted[..own.len()].contains(&true) {
            self.op.backward(own, grad, &wanted[..own.len()])?
        } else {
            vec![None; own.len()]
        };
        if !self.own {
            grads.push(None);
        }
        if wanted[x] {
            grads[x] = Some(match grads[x].take() {
                // In the memory of the gradient just made, which nothing else reads.
                Some(update) => residual(grad.detach(), update.detach())?,
                None => grad.clone(),
            });
        }
        Ok(grads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::layer_norm;
    use crate::ops::linear_update;
    use candle_core::{Device, Var};

    fn noise(shape: &[usize], seed: u32) -> Tensor {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|i| ((i as f32 + 0.3) * (0.7 + seed as f32)).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn close(a: &Tensor, b: &Tensor) {
        let off = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(off.to_scalar::<f32>().unwrap() < 1e-5, "{a} {b}");
    }

    /// Value and gradients of a weighted sum of what `f` gives.
    fn slopes(vars: &[Var], f: impl Fn() -> Tensor) -> (Tensor, Vec<Tensor>) {
        let out = f();
        let weights = noise(out.dims(), 9);
        let grads = (&out * weights).unwrap().sum_all().unwrap().backward().unwrap();
        (out.detach(), vars.iter().map(|v| grads.get(v.as_tensor()).unwrap().clone()).collect())
    }

    #[test]
    fn same_as_the_sum_of_two_tensors() {
        let var = |shape: &[usize], seed| Var::from_tensor(&noise(shape, seed)).unwrap();
        // Onto its own input, used before and after too, and onto another tensor.
        let vars = [var(&[5, 7], 1), var(&[7], 2), var(&[7], 3), var(&[5, 7], 4), var(&[7, 7], 5)];
        let [x, scale, offset, y, w] = std::array::from_fn(|i| vars[i].as_tensor().clone());
        let fused = slopes(&vars, || {
            let x = (&x * 1.5).unwrap();
            let a = layer_norm(&x, &scale, &offset).onto(x.clone()).unwrap();
            let b = linear_update(&a, &w, Some(&offset)).onto(y.clone()).unwrap();
            (a * b).unwrap()
        });
        let plain = slopes(&vars, || {
            let x = (&x * 1.5).unwrap();
            let a = (&x + layer_norm(&x, &scale, &offset).tensor().unwrap()).unwrap();
            let b = (&y + linear_update(&a, &w, Some(&offset)).tensor().unwrap()).unwrap();
            (a * b).unwrap()
        });
        close(&fused.0, &plain.0);
        fused.1.iter().zip(&plain.1).for_each(|(a, b)| close(a, b));
    }

    #[test]
    fn only_what_is_tracked_gets_a_gradient() {
        let (x, y) = (noise(&[5, 7], 1), Var::from_tensor(&noise(&[5, 7], 2)).unwrap());
        let (scale, offset) = (noise(&[7], 3), noise(&[7], 4));
        let sum = layer_norm(&x, &scale, &offset).onto(y.as_tensor().clone()).unwrap();
        let grads = sum.sum_all().unwrap().backward().unwrap();
        close(grads.get(y.as_tensor()).unwrap(), &y.ones_like().unwrap());
        assert!(grads.get(&x).is_none());
    }

    #[test]
    fn another_shape_is_refused() {
        let y = Var::from_tensor(&noise(&[7, 5], 2)).unwrap();
        let update = layer_norm(&noise(&[5, 7], 1), &noise(&[7], 3), &noise(&[7], 4));
        let error = update.onto(y.as_tensor().clone()).unwrap_err().to_string();
        assert!(error.contains("[5, 7]") && error.contains("[7, 5]"), "{error}");
    }
}
