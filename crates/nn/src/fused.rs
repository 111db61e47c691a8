//! Fused operations on candle's tape: any number of inputs, one output, own forward and backward.
//!
//! candle's custom operations take at most three inputs. Here each tracked input enters through a
//! *link* that passes a one-element token on, and the last token enters the *root*, which carries the
//! output. Going back, the root computes all gradients at once and leaves them for the links.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Device, Layout, Result, Shape, Tensor, Var};
use std::sync::{Arc, Mutex};

/// One operation: a plain reference, a fused forward, a backward.
pub trait Fused: Send + Sync + 'static {
    /// Name for errors.
    fn name(&self) -> &'static str;

    /// The fused forward. Inputs are contiguous f32 tensors on the CPU.
    fn forward(&self, inputs: &[Tensor]) -> Result<(Vec<f32>, Shape)>;

    /// The same function written with differentiable candle operations.
    fn reference(&self, inputs: &[Tensor]) -> Result<Tensor>;

    /// Gradients to `inputs` given the output's. By default the reference is run again on a tape of
    /// its own, so nothing but the inputs is kept from the forward pass.
    fn backward(&self, inputs: &[Tensor], grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let vars = inputs.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let out = self.reference(&tensors)?;
        let grads = (out * grad)?.sum_all()?.backward()?;
        Ok(tensors.iter().map(|t| grads.get(t).map(Tensor::detach)).collect())
    }
}

/// Runs `op`, on the tape if any input is tracked.
///
/// # Errors  If the operation fails on these inputs.
pub fn apply(op: impl Fused, inputs: &[&Tensor]) -> Result<Tensor> {
    let plain: Vec<Tensor> = inputs.iter().map(|t| t.detach().contiguous()).collect::<Result<_>>()?;
    let (out, shape) = op.forward(&plain)?;
    if inputs.iter().all(|t| !t.track_op()) {
        return Tensor::from_vec(out, shape, &Device::Cpu);
    }
    let grads = Arc::new(Mutex::new(vec![None; inputs.len()]));
    let mut token: Option<Tensor> = None;
    for (index, input) in inputs.iter().enumerate().filter(|(_, t)| t.track_op()) {
        let link = Link { index, grads: grads.clone() };
        token = Some(match token {
            None => input.apply_op1(link)?,
            Some(token) => token.apply_op2(input, link)?,
        });
    }
    let token = token.expect("one input is tracked");
    token.apply_op1(Root { op: Arc::new(op), inputs: plain, out: Mutex::new(Some((out, shape))), grads })
}

type Grads = Arc<Mutex<Vec<Option<Tensor>>>>;

struct Root<F> {
    op: Arc<F>,
    inputs: Vec<Tensor>,
    out: Mutex<Option<(Vec<f32>, Shape)>>,
    grads: Grads,
}

impl<F: Fused> CustomOp1 for Root<F> {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let (out, shape) = self.out.lock().expect("not poisoned").take().expect("run once");
        Ok((CpuStorage::F32(out), shape))
    }

    fn bwd(&self, token: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grads = self.op.backward(&self.inputs, &grad.contiguous()?)?;
        *self.grads.lock().expect("not poisoned") = grads;
        Ok(Some(token.zeros_like()?))
    }
}

struct Link {
    index: usize,
    grads: Grads,
}

impl Link {
    fn token() -> (CpuStorage, Shape) {
        (CpuStorage::F32(vec![0.0]), Shape::from(1))
    }

    fn take(&self) -> Option<Tensor> {
        self.grads.lock().expect("not poisoned")[self.index].take()
    }
}

impl CustomOp1 for Link {
    fn name(&self) -> &'static str {
        "link"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::token())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.take())
    }
}

impl CustomOp2 for Link {
    fn name(&self) -> &'static str {
        "link"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::token())
    }

    fn bwd(
        &self,
        token: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(token.zeros_like()?), self.take()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    struct Product;

    impl Fused for Product {
        fn name(&self) -> &'static str {
            "product"
        }

        fn forward(&self, x: &[Tensor]) -> Result<(Vec<f32>, Shape)> {
            let out = self.reference(x)?;
            Ok((out.flatten_all()?.to_vec1()?, out.shape().clone()))
        }

        fn reference(&self, x: &[Tensor]) -> Result<Tensor> {
            x.iter().skip(1).try_fold(x[0].clone(), |a, b| a.mul(b))
        }
    }

    #[test]
    fn four_inputs_get_their_gradients() {
        let v = |x: [f32; 2]| Var::from_tensor(&Tensor::new(&x, &Device::Cpu).unwrap()).unwrap();
        let vars = [v([2., 3.]), v([5., 7.]), v([11., 13.])];
        let fixed = Tensor::new(&[17f32, 19.], &Device::Cpu).unwrap();
        let out =
            apply(Product, &[vars[0].as_tensor(), vars[1].as_tensor(), &fixed, vars[2].as_tensor()]).unwrap();
        // Used twice, so gradients must also add up across uses.
        let out = (&out + &out).unwrap();
        let grads = out.sum_all().unwrap().to_dtype(DType::F32).unwrap().backward().unwrap();
        let got = |i: usize| grads.get(vars[i].as_tensor()).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(got(0), [2. * 5. * 17. * 11., 2. * 7. * 19. * 13.]);
        assert_eq!(got(1), [2. * 2. * 17. * 11., 2. * 3. * 19. * 13.]);
        assert_eq!(got(2), [2. * 2. * 5. * 17., 2. * 3. * 7. * 19.]);
    }
}
