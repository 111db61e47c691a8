//! Fused operations on candle's tape: any number of inputs, one output, own forward and backward.
//!
//! candle's custom operations take at most three inputs; here there may be more (`tape.rs`). Going back, all gradients are computed at
//! once; those of parameters need not go through candle ([`Leaves`]).

mod gradients;
mod leaves;
mod tape;
#[cfg(test)]
mod tests;

use crate::added::Added;
use crate::cuda::{self, BackwardJob, Job, Keep, Machine};
use crate::place::{Place, Source};
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, DType, Device, InplaceOp1, Layout, Result, Shape, Storage, Tensor,
};
use gradients::on_gpu;
pub use gradients::reference_backward;
pub use leaves::Leaves;
use std::sync::Arc;
use tape::Out;
pub(crate) use tape::seed;

/// One operation: a plain reference, a fused forward, kernels for a GPU, a backward.
pub trait Fused: Send + Sync + 'static {
    /// Name for errors.
    fn name(&self) -> &'static str;

    /// Shape of the output.
    ///
    /// # Errors  If the inputs do not fit together.
    fn shape(&self, inputs: &[Tensor]) -> Result<Shape>;

    /// The fused forward into `out`. Inputs are contiguous f32 tensors on the CPU. The first one's values are
    /// in `x`: if they lie where the result goes, `inputs[0]` gives dimensions only.
    fn forward(&self, inputs: &[Tensor], x: Source<'_>, out: Place<'_>) -> Result<()>;

    /// Whether the first input may lie where the result goes: every part of it is read before it is written.
    fn may_alias(&self) -> bool {
        false
    }

    /// The same function written with differentiable candle operations.
    fn reference(&self, inputs: &[Tensor]) -> Result<Tensor>;

    /// The forward on a GPU, by kernels. `false`, before anything was launched, where they do not take inputs of these
    /// sizes: the reference runs there then.
    ///
    /// # Errors  If memory or a launch fails.
    fn cuda(&self, _job: &Job<'_>) -> Result<bool> {
        Ok(false)
    }

    /// The gradients on a GPU, by kernels, from inputs alone. `false`, before anything was launched, where they do not take
    /// inputs of these sizes or cannot give one of the gradients: the reference's are made then.
    ///
    /// # Errors  If memory or a launch fails.
    fn cuda_backward(&self, _job: &BackwardJob<'_>) -> Result<bool> {
        Ok(false)
    }

    /// Gradients to those `inputs` that are `wanted`, given the output's; the others get none and cost
    /// nothing. By default [`reference_backward`].
    fn backward(&self, inputs: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        reference_backward(self, inputs, grad, wanted)
    }
}

/// An operation with its inputs, to be computed into a tensor of its own or straight onto what it updates.
#[derive(Clone)]
pub struct Update {
    op: Arc<dyn Fused>,
    inputs: Vec<Tensor>,
}

impl Update {
    /// `op` of `inputs`.
    pub fn new(op: impl Fused, inputs: &[&Tensor]) -> Self {
        Self { op: Arc::new(op), inputs: inputs.iter().map(|&t| t.clone()).collect() }
    }

    /// The same with inputs on `device`.
    ///
    /// # Errors  If a copy fails.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        let inputs = self.inputs.iter().map(|t| t.to_device(device)).collect::<Result<_>>()?;
        Ok(Self { op: self.op.clone(), inputs })
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// The result as a new tensor, on the tape if any input is tracked.
    ///
    /// # Errors  If the operation fails on these inputs.
    pub fn tensor(self) -> Result<Tensor> {
        let plain = self.plain_inputs()?;
        let shape = self.op.shape(&plain)?;
        let tracked = self.inputs.iter().any(Tensor::track_op);
        if plain[0].device().is_cuda() {
            if !tracked {
                return self.on_gpu(&plain, &shape);
            }
            let out = self.storage_on_gpu(&plain, &shape)?;
            return tape::put(self.op, &self.inputs, plain, Out::Gpu(out, shape));
        }
        let mut out = vec![0.0; shape.elem_count()];
        {
            let x = crate::ops::value(&plain[0])?;
            self.op.forward(&plain, Source::new(&x), Place::fresh(&mut out))?;
        }
        if !tracked {
            return Tensor::from_vec(out, shape, &Device::Cpu);
        }
        tape::put(self.op, &self.inputs, plain, Out::Cpu(out, shape))
    }

    /// x + result, made in the memory of `x` where no gradient is kept: nothing else may read `x` then.
    ///
    /// # Errors  If the shapes differ, or the operation fails on these inputs.
    pub fn onto(self, x: Tensor) -> Result<Tensor> {
        let tracked = x.track_op() || self.inputs.iter().any(Tensor::track_op);
        // A view of x among the other inputs would be read while x changes.
        let read = self.inputs[1..].iter().any(|t| same_memory(t, &x));
        let aliased = same_memory(&self.inputs[0], &x);
        let refused = aliased && (self.inputs[0].id() != x.id() || !self.op.may_alias());
        if tracked {
            let (op, inputs) = Added::new(self.op, self.inputs, x);
            return Self { op: Arc::new(op), inputs }.tensor();
        }
        if read || refused || !x.is_contiguous() {
            return x + self.tensor()?;
        }
        let mut inputs = self.plain_inputs()?;
        if aliased {
            inputs[0] = x.clone();
        }
        let shape = self.op.shape(&inputs)?;
        if shape.dims() != x.dims() {
            candle_core::bail!("{}: expected to add to {shape:?}, got {:?}", self.op.name(), x.dims());
        }
        if x.device().is_cuda() {
            if let Some(machine) = cuda::machine(x.device()) {
                let job =
                    Job::new(&*machine, &inputs, machine.address(&x)?, true, kept(&inputs, Keep::Always))?;
                if job.is_regular() && self.op.cuda(&job)? {
                    return Ok(x);
                }
            }
            let sum = (&x + self.op.reference(&inputs)?)?;
            x.slice_set(&sum, 0, 0)?;
            return Ok(x);
        }
        x.inplace_op1(&Onto { op: &*self.op, inputs: &inputs, aliased })?;
        Ok(x)
    }

    /// The operation and its inputs, for tests that look at one face of it alone.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&dyn Fused, &[Tensor]) {
        (&*self.op, &self.inputs)
    }

    /// The result on the GPU where the inputs are, as a new tensor off the tape.
    fn on_gpu(&self, inputs: &[Tensor], shape: &Shape) -> Result<Tensor> {
        // SAFETY: every operation writes all of its result, and nobody reads it before.
        let out = unsafe { Tensor::empty(shape, DType::F32, inputs[0].device())? };
        let address = |machine: &dyn Machine| machine.address(&out);
        if self.by_kernels(inputs, address, kept(inputs, Keep::Always))? {
            return Ok(out);
        }
        self.op.reference(inputs)?.contiguous()
    }

    /// The same as what a tensor on the tape will hold.
    fn storage_on_gpu(&self, inputs: &[Tensor], shape: &Shape) -> Result<CudaStorage> {
        let beside = |t: &Tensor, f: &dyn Fn(&CudaStorage, &Layout) -> Result<(CudaStorage, u64)>| {
            let (storage, layout) = t.storage_and_layout();
            let Storage::Cuda(storage) = &*storage else {
                candle_core::bail!("{}: expected inputs on the GPU", self.op.name());
            };
            f(storage, layout)
        };
        {
            let (out, at) = beside(&inputs[0], &|storage, _| cuda::result(storage, shape.elem_count()))?;
            if self.by_kernels(inputs, |_| Ok(at), kept(inputs, Keep::No))? {
                return Ok(out);
            }
        }
        let made = self.op.reference(inputs)?.contiguous()?;
        Ok(beside(&made, &|storage, layout| Ok((storage.try_clone(layout)?, 0)))?.0)
    }

    /// Whether kernels made the result where `out` says.
    fn by_kernels(
        &self,
        inputs: &[Tensor],
        out: impl FnOnce(&dyn Machine) -> Result<u64>,
        keep: Keep,
    ) -> Result<bool> {
        let Some(machine) = cuda::machine(inputs[0].device()) else { return Ok(false) };
        let job = Job::new(&*machine, inputs, out(&*machine)?, false, keep)?;
        Ok(job.is_regular() && self.op.cuda(&job)?)
    }

    /// Launches the operation's kernels on `machine`, with the result put to `out` or, if it `adds`, added to what is
    /// there; `aliased`: what is there is the first input. `false` if they do not take these sizes.
    ///
    /// # Errors  If the inputs do not fit together, or memory or a launch fails.
    pub fn launch(&self, machine: &dyn Machine, out: u64, adds: bool, aliased: bool) -> Result<bool> {
        let inputs = self.plain_inputs()?;
        self.op.shape(&inputs)?;
        let mut job = Job::new(machine, &inputs, out, adds, Keep::No)?;
        if aliased {
            job = job.first_at(out);
        }
        Ok(job.is_regular() && self.op.cuda(&job)?)
    }

    /// Launches the kernels of the gradients on `machine`, from that of the result at `grad` to where `gradients` say, null for
    /// inputs that need none. `false` if they do not take these sizes or cannot give one of these.
    ///
    /// # Errors  As [`Update::launch`].
    pub fn launch_backward(&self, machine: &dyn Machine, grad: u64, gradients: Vec<u64>) -> Result<bool> {
        let inputs = self.plain_inputs()?;
        self.op.shape(&inputs)?;
        let job = BackwardJob::new(machine, &inputs, grad, gradients, Keep::No)?;
        job.run(&*self.op)
    }

    /// The gradients to those inputs that are `wanted`, where these are, given the result's.
    ///
    /// # Errors  If the operation's backward fails on these inputs.
    pub fn gradients(&self, grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let inputs = self.plain_inputs()?;
        if grad.device().is_cuda() {
            return on_gpu(&*self.op, &inputs, grad, wanted, Keep::No);
        }
        self.op.backward(&inputs, grad, wanted)
    }

    /// The operation's plain reference.
    ///
    /// # Errors  If it fails on these inputs.
    pub fn reference(&self) -> Result<Tensor> {
        self.op.reference(&self.plain_inputs()?)
    }

    fn plain_inputs(&self) -> Result<Vec<Tensor>> {
        self.inputs.iter().map(|t| t.detach().contiguous()).collect()
    }
}

/// How long copies of these parameters are kept on a GPU: within a loss until its gradients are there, else as `alone` says.
fn kept(inputs: &[Tensor], alone: Keep) -> Keep {
    match Leaves::current() {
        Some(leaves) => {
            leaves.are_used_on(inputs[0].device());
            Keep::ForLoss
        }
        None => alone,
    }
}

fn same_memory(a: &Tensor, b: &Tensor) -> bool {
    let (a, b) = (a.storage_and_layout().0, b.storage_and_layout().0);
    std::ptr::eq(&raw const *a, &raw const *b)
}

/// The operation added to a tensor's own memory.
struct Onto<'a> {
    op: &'a dyn Fused,
    inputs: &'a [Tensor],
    aliased: bool,
}

impl InplaceOp1 for Onto<'_> {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("{}: expected an f32 tensor", self.op.name());
        };
        let values = &mut values[layout.start_offset()..][..layout.shape().elem_count()];
        let place = Place::onto(values);
        if self.aliased {
            return self.op.forward(self.inputs, place.source(), place);
        }
        let x = crate::ops::value(&self.inputs[0])?;
        self.op.forward(self.inputs, Source::new(&x), place)
    }
}
