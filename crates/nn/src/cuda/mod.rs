//! NVIDIA GPUs. candle's own CUDA backend holds tensors and does small operations and the tape; the operations of [`crate::ops`]
//! launch the kernels of `kernels/`.
//!
//! Everything but the GPU itself is built and tested without CUDA: what an operation launches ([`Machine`] is what it needs), how the
//! driver is asked, how kernels are compiled at first use. With the feature `cuda`, [`open`] gives a GPU.

mod arguments;
mod backward;
mod driver;
pub(crate) mod faces;
mod geometry;
#[cfg(feature = "cuda")]
mod gpu;
mod job;
mod library;
mod machine;
#[cfg(feature = "cuda")]
mod modules;
pub mod nccl;
mod nvrtc;
#[cfg(feature = "cuda")]
mod pinned;
#[cfg(feature = "cuda")]
mod pool;
mod source;
#[cfg(feature = "cuda")]
mod stand_in;

pub use backward::BackwardJob;
pub use driver::{Found, gpus, usable};
pub use job::Job;
pub use machine::{Factor, Keep, Launch, Machine, Memory, Precision, Products, Results};
pub use nvrtc::{Nvrtc, arch, cache};
pub use source::files;

use candle_core::{CudaStorage, Device, Result, Shape, Tensor};
use std::sync::Arc;

/// Whether this build can use GPUs.
pub const BUILT: bool = cfg!(feature = "cuda");

/// GPU `index` as a device for tensors, whose operations compute in `precision`.
///
/// # Errors  If this build cannot, or the GPU cannot be used.
pub fn open(index: usize, precision: Precision) -> Result<Device> {
    usable(index).map_err(candle_core::Error::Msg)?;
    #[cfg(feature = "cuda")]
    return gpu::open(index, precision);
    #[cfg(not(feature = "cuda"))]
    unreachable!("{precision:?}: not usable without the feature");
}

/// The machine behind a device that [`open`] made.
pub(crate) fn machine(device: &Device) -> Option<Arc<dyn Machine>> {
    #[cfg(feature = "cuda")]
    return gpu::of(device).map(|gpu| gpu as Arc<dyn Machine>);
    #[cfg(not(feature = "cuda"))]
    {
        debug_assert!(!device.is_cuda(), "candle is built without CUDA");
        None
    }
}

/// A tensor of values on a device. To a GPU they are copied behind what it was given before, and nobody waits.
///
/// # Errors  If there are more or fewer values than `shape` says, or there is no memory.
pub fn upload<T: Uploaded>(values: Vec<T>, shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
    let shape = shape.into();
    #[cfg(feature = "cuda")]
    if let Some(gpu) = gpu::of(device).filter(|_| values.len() == shape.elem_count()) {
        return gpu.upload(&values, &shape);
    }
    Tensor::from_vec(values, shape, device)
}

#[cfg(feature = "cuda")]
mod uploaded {
    /// Numbers that have no padding and that tensors on a GPU hold.
    pub trait Uploaded: candle_core::WithDType + candle_core::cuda_backend::CudaDType {}
}
#[cfg(not(feature = "cuda"))]
mod uploaded {
    /// Numbers that have no padding and that tensors on a GPU hold.
    pub trait Uploaded: candle_core::WithDType {}
}
use uploaded::Uploaded;
impl Uploaded for f32 {}
impl Uploaded for u32 {}

/// Memory for `n` f32 values beside `storage`, with anything in it, and where it begins.
pub(crate) fn result(storage: &CudaStorage, n: usize) -> Result<(CudaStorage, u64)> {
    #[cfg(feature = "cuda")]
    return gpu::result(storage, n);
    #[cfg(not(feature = "cuda"))]
    unreachable!("{n} values beside {storage:?}: candle is built without CUDA");
}

/// Ends what is kept on a device [`Keep::ForLoss`].
pub(crate) fn forget(device: &Device) {
    if let Some(machine) = machine(device) {
        machine.forget();
    }
}

/// Memory that was free when [`open`] made this device, bytes; none of a device without a limit of its own. What the program holds itself is
/// not taken away from it: freed memory is kept.
pub fn available_memory(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    return gpu::of(device).map(|gpu| gpu.available());
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
        None
    }
}

/// Lets operations on a device that [`open`] made hold about so many bytes of intermediate values at a time: attention goes over some
/// rows, triangle multiplication over some channels at a time. Without it they take all at once.
pub fn set_room(device: &Device, bytes: usize) {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = gpu::of(device) {
        gpu.set_room(bytes);
    }
    #[cfg(not(feature = "cuda"))]
    let _ = (device, bytes);
}

/// Most memory that was held on a device that [`open`] made since the last call, bytes.
///
/// # Errors  If the driver does not say.
pub fn take_peak_memory(device: &Device) -> Result<u64> {
    #[cfg(feature = "cuda")]
    return pool::take_peak_memory(device);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
        Ok(0)
    }
}

/// Waits until a device has done what it was given.
///
/// # Errors  If something that it was given failed.
pub fn finish(device: &Device) -> Result<()> {
    device.synchronize()
}
