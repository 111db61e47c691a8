//! Operations on candle's tape. candle's custom operations take at most three inputs. Where more are on the tape, each enters through
//! a *link* that passes a one-element token on, and the last token enters the *root*, which carries the output.

use super::Fused;
use super::gradients::on_gpu;
use super::leaves::Leaves;
use crate::cuda::{self, Keep};
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout};
use candle_core::{Result, Shape, Tensor};
use std::sync::{Arc, Mutex};

/// Puts a result on the tape; `plain` are the inputs off it.
///
/// # Panics  if no input is tracked.
pub(super) fn put(op: Arc<dyn Fused>, inputs: &[Tensor], plain: Vec<Tensor>, out: Out) -> Result<Tensor> {
    let leaves = Leaves::current();
    let wanted: Vec<bool> = inputs.iter().map(Tensor::track_op).collect();
    let (own, open): (Vec<usize>, Vec<usize>) =
        (0..inputs.len()).filter(|&i| wanted[i]).partition(|&i| leaves.is_some() && inputs[i].is_variable());
    let leaves = leaves.map(|leaves| (leaves, own.into_iter().map(|i| (i, inputs[i].clone())).collect()));
    let through = open.iter().map(|&i| inputs[i].clone()).collect::<Vec<_>>();
    let mut root = Root { op, inputs: plain, wanted, leaves, open, links: None, out: Mutex::new(Some(out)) };
    match through.as_slice() {
        [] => {
            let (leaves, _) = root.leaves.as_ref().expect("one input is tracked");
            leaves.start(inputs[0].device())?.apply_op1(root)
        }
        [a] => a.apply_op1(root),
        [a, b] => a.apply_op2(b, root),
        [a, b, c] => a.apply_op3(b, c, root),
        many => {
            let grads = Arc::new(Mutex::new(vec![None; inputs.len()]));
            let token = links(root.open.iter().copied().zip(many), &grads)?.expect("there are some");
            root.links = Some(grads);
            token.apply_op1(root)
        }
    }
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
    Gpu(CudaStorage, Shape),
}

struct Root {
    op: Arc<dyn Fused>,
    inputs: Vec<Tensor>,
    wanted: Vec<bool>,
    /// Where gradients of these inputs go, which are leaves.
    leaves: Option<(Leaves, Vec<(usize, Tensor)>)>,
    /// Inputs whose gradients candle gets.
    open: Vec<usize>,
    /// Where they lie until links take them, if they come through links.
    links: Option<Grads>,
    out: Mutex<Option<Out>>,
}

impl Root {
    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        match self.out.lock().expect("not poisoned").take().expect("run once") {
            Out::Cpu(out, shape) => Ok((CpuStorage::F32(out), shape)),
            Out::Gpu(..) => unreachable!("the result is where the inputs are"),
        }
    }

    fn gpu(&self) -> Result<(CudaStorage, Shape)> {
        match self.out.lock().expect("not poisoned").take().expect("run once") {
            Out::Gpu(out, shape) => Ok((out, shape)),
            Out::Cpu(..) => unreachable!("the result is where the inputs are"),
        }
    }

    /// How long copies of parameters are kept on a GPU: they serve both ways.
    fn keep(&self) -> Keep {
        if self.leaves.is_some() { Keep::ForLoss } else { Keep::No }
    }

    /// Gradients of the open inputs.
    fn gradients<const N: usize>(&self, grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        let mut grads = self.all_gradients(grad)?;
        Ok(std::array::from_fn(|i| grads[self.open[i]].take()))
    }

    /// Gradients of all inputs but leaves, whose are put where they go.
    fn all_gradients(&self, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let grad = grad.contiguous()?;
        let mut grads = if grad.device().is_cuda() {
            on_gpu(&*self.op, &self.inputs, &grad, &self.wanted, self.keep())?
        } else {
            self.op.backward(&self.inputs, &grad, &self.wanted)?
        };
        if let Some((leaves, own)) = &self.leaves {
            for (i, leaf) in own {
                if let Some(grad) = grads[*i].take() {
                    leaves.add(leaf, grad)?;
                }
            }
        }
        Ok(grads)
    }
}

impl CustomOp1 for Root {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.gpu()
    }

    fn bwd(&self, token: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        if let Some(links) = &self.links {
            *links.lock().expect("not poisoned") = self.all_gradients(grad)?;
            return Ok(Some(token.zeros_like()?));
        }
        if self.open.is_empty() {
            self.all_gradients(grad)?;
            return Ok(None);
        }
        let [grad] = self.gradients(grad)?;
        Ok(grad)
    }
}

impl CustomOp2 for Root {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.gpu()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.gradients(grad)?;
        Ok((a, b))
    }
}

type Three<T> = (Option<T>, Option<T>, Option<T>);

impl CustomOp3 for Root {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.gpu()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Three<Tensor>> {
        let [a, b, c] = self.gradients(grad)?;
        Ok((a, b, c))
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

    /// The same beside `storage`. Nobody reads it.
    fn token_beside(storage: &CudaStorage) -> Result<(CudaStorage, Shape)> {
        Ok((cuda::result(storage, 1)?.0, Shape::from(1)))
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
