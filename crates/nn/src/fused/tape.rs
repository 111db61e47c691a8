//! Operations on candle's tape. candle's custom operations take at most three inputs: here each tracked input enters through a
//! *link* that passes a one-element token on, and the last token enters the *root*, which carries the output.

use super::Fused;
use super::gradients::on_gpu;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, DType, Device, Layout};
use candle_core::{Result, Shape, Storage, Tensor};
use std::sync::{Arc, Mutex};

/// Puts a result on the tape; `plain` are the inputs off it.
///
/// # Panics  if no input is tracked.
pub(super) fn put(op: Arc<dyn Fused>, inputs: &[Tensor], plain: Vec<Tensor>, out: Out) -> Result<Tensor> {
    let grads = Arc::new(Mutex::new(vec![None; inputs.len()]));
    let tracked = inputs.iter().enumerate().filter(|(_, t)| t.track_op());
    let token = links(tracked, &grads)?.expect("one input is tracked");
    let wanted = inputs.iter().map(Tensor::track_op).collect();
    token.apply_op1(Root { op, inputs: plain, wanted, out: Mutex::new(Some(out)), grads })
}

/// A number whose backward pass gives each of these tensors, which are on a tape, the gradient beside it; none for no tensors.
pub(crate) fn seed(pairs: impl Iterator<Item = (Tensor, Tensor)>) -> Result<Option<Tensor>> {
    let (tensors, given): (Vec<Tensor>, Vec<Tensor>) = pairs.unzip();
    let grads = Arc::new(Mutex::new(given.into_iter().map(Some).collect::<Vec<_>>()));
    links(tensors.iter().enumerate(), &grads)
}

/// A token that has passed through a link for each of these tensors, numbered as their gradients are.
fn links<'a>(tensors: impl Iterator<Item = (usize, &'a Tensor)>, grads: &Grads) -> Result<Option<Tensor>> {
    let mut token: Option<Tensor> = None;
    for (index, tensor) in tensors {
        let link = Link { index, grads: grads.clone() };
        token = Some(match token {
            None => tensor.apply_op1(link)?,
            Some(token) => token.apply_op2(tensor, link)?,
        });
    }
    Ok(token)
}

type Grads = Arc<Mutex<Vec<Option<Tensor>>>>;

/// A result before it is on the tape.
pub(super) enum Out {
    Cpu(Vec<f32>, Shape),
    Gpu(Tensor),
}

struct Root {
    op: Arc<dyn Fused>,
    inputs: Vec<Tensor>,
    wanted: Vec<bool>,
    out: Mutex<Option<Out>>,
    grads: Grads,
}

impl Root {
    fn take(&self) -> Out {
        self.out.lock().expect("not poisoned").take().expect("run once")
    }
}

impl CustomOp1 for Root {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        match self.take() {
            Out::Cpu(out, shape) => Ok((CpuStorage::F32(out), shape)),
            Out::Gpu(_) => unreachable!("the token is where the inputs are"),
        }
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let Out::Gpu(out) = self.take() else { unreachable!("the token is where the inputs are") };
        let (storage, layout) = out.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { unreachable!("the token is where the inputs are") };
        Ok((storage.try_clone(layout)?, out.shape().clone()))
    }

    fn bwd(&self, token: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let grads = if grad.device().is_cuda() {
            on_gpu(&*self.op, &self.inputs, &grad, &self.wanted)?
        } else {
            self.op.backward(&self.inputs, &grad, &self.wanted)?
        };
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

    /// The same beside `storage`.
    fn token_beside(storage: &CudaStorage) -> Result<(CudaStorage, Shape)> {
        let token = Tensor::zeros(1, DType::F32, &Device::Cuda(storage.device().clone()))?;
        let (storage, layout) = token.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else { unreachable!("made on a GPU") };
        Ok((storage.try_clone(layout)?, Shape::from(1)))
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

    fn cuda_fwd(&self, input: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Self::token_beside(input)
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

    fn cuda_fwd(
        &self,
        token: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::token_beside(token)
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
