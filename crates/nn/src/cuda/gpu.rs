//! A GPU: candle's device for tensors, one stream, our kernels, cuBLAS for matrix products.
//!
//! Everything is given to one stream, so that work is done in order and memory can be freed as soon as what uses it was given:
//! it is reused by what is given later. Nothing here waits for the GPU.

use super::machine::{Keep, Launch, Machine, Memory, Precision, Products};
use super::modules::{Function, Modules};
use super::nvrtc;
use super::pinned::Uploads;
use super::pool;
use super::uploaded::Uploaded;
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::cublas::result::gemm_strided_batched_ex;
use candle_core::cuda_backend::cudarc::cublas::sys as blas;
use candle_core::cuda_backend::cudarc::driver::{CudaStream, DevicePtr, result, sys};
use candle_core::cuda_backend::{CudaDType, CudaDevice, DeviceId, WrapErr};
use candle_core::{CudaStorage, DType, Device, Result, Shape, Storage, Tensor, TensorId};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Intermediate values that are made at a time, bytes: they stay in the L2 cache.
const PART: usize = 32 << 20;

/// One GPU with one stream and one precision.
pub(super) struct Gpu {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    precision: Precision,
    processors: usize,
    shared: usize,
    /// Memory that was free when the device was opened, bytes.
    available: u64,
    room: AtomicUsize,
    arch: String,
    modules: Mutex<Modules>,
    /// Blocks that run at once on a processor, by kernel, threads and shared memory.
    resident: Mutex<HashMap<(String, usize, usize), usize>>,
    packed: Mutex<HashMap<(Vec<TensorId>, Precision), Kept>>,
    derived: Mutex<Option<(Tensor, Arc<dyn std::any::Any + Send + Sync>, u64)>>,
    uploads: Mutex<Uploads>,
}

/// Rounded and joined parameters.
struct Kept {
    /// What they were made from, so that no other tensor takes their ids.
    _sources: Vec<Tensor>,
    packed: Tensor,
    always: bool,
}

/// Devices that were opened. They are few and live as long as the program.
static OPEN: Mutex<Vec<(DeviceId, Arc<Gpu>)>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while held")
}

/// The GPU behind a device.
pub(super) fn of(device: &Device) -> Option<Arc<Gpu>> {
    let Device::Cuda(device) = device else { return None };
    locked(&OPEN).iter().find(|(id, _)| *id == device.id()).map(|(_, gpu)| gpu.clone())
}

/// See [`super::open`].
pub(super) fn open(index: usize, precision: Precision) -> Result<Device> {
    // A stream of its own, not each thread's: gradients are made on another thread.
    let device = Device::new_cuda_with_stream(index)?;
    let cuda = device.as_cuda_device()?.clone();
    // SAFETY: there is one stream, so nothing has to be ordered by events.
    unsafe { cuda.disable_event_tracking() };
    let stream = cuda.cuda_stream();
    let context = stream.context();
    use sys::CUdevice_attribute_enum as Attribute;
    let attribute = |a| context.attribute(a).w();
    let processors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize;
    let shared = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)? as usize;
    let arch = nvrtc::arch(context.compute_capability().w()?);
    pool::keep_freed_memory(context.cu_device())?;
    let available = pool::free()?;
    let gpu = Gpu {
        stream: stream.clone(),
        precision,
        processors,
        shared,
        available,
        room: AtomicUsize::new(usize::MAX),
        arch,
        modules: Mutex::default(),
        resident: Mutex::default(),
        packed: Mutex::default(),
        derived: Mutex::default(),
        uploads: Mutex::default(),
        device: cuda.clone(),
    };
    locked(&OPEN).push((cuda.id(), Arc::new(gpu)));
    Ok(device)
}

/// See [`super::result`].
pub(super) fn result(storage: &CudaStorage, n: usize) -> Result<(CudaStorage, u64)> {
    let device = storage.device();
    // SAFETY: who asks for it writes it before anything reads it.
    let slice = unsafe { device.alloc::<f32>(n)? };
    let address = slice.device_ptr(&device.cuda_stream()).0;
    Ok((CudaStorage::wrap_cuda_slice(slice, device.clone()), address))
}

impl Gpu {
    /// See [`super::available_memory`].
    pub(super) fn available(&self) -> u64 {
        self.available
    }

    /// See [`super::set_room`].
    pub(super) fn set_room(&self, bytes: usize) {
        self.room.store(bytes, Ordering::Relaxed);
    }

    fn function(&self, launch: &Launch) -> Result<Function> {
        self.stream.context().bind_to_thread().w()?;
        locked(&self.modules).function(launch, &self.arch, self.shared)
    }

    /// Blocks that run at once on the whole GPU.
    fn resident(&self, function: Function, launch: &Launch) -> Result<usize> {
        let key = (launch.kernel.clone(), launch.threads, launch.shared);
        if let Some(blocks) = locked(&self.resident).get(&key) {
            return Ok(*blocks);
        }
        let mut each: c_int = 0;
        // SAFETY: a loaded kernel and a local variable.
        unsafe {
            let (threads, shared) = (launch.threads as c_int, launch.shared);
            sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(&raw mut each, function.0, threads, shared)
                .result()
                .w()?;
        }
        let blocks = each.max(1) as usize * self.processors;
        locked(&self.resident).insert(key, blocks);
        Ok(blocks)
    }

    /// See [`super::upload`].
    pub(super) fn upload<T: Uploaded>(&self, values: &[T], shape: &Shape) -> Result<Tensor> {
        // SAFETY: the copy comes before whatever is given later.
        let to = unsafe { Tensor::empty(shape, T::DTYPE, &Device::Cuda(self.device.clone()))? };
        self.stream.context().bind_to_thread().w()?;
        // SAFETY: numbers without padding.
        let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) };
        locked(&self.uploads).copy(bytes, self.address_of::<T>(&to)?, &self.stream)?;
        Ok(to)
    }

    /// Where the values of a contiguous tensor lie.
    fn address_of<T: CudaDType>(&self, t: &Tensor) -> Result<u64> {
        let (storage, layout) = t.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            candle_core::bail!("expected a tensor on the GPU, got {t:?}");
        };
        if !layout.is_contiguous() {
            candle_core::bail!("expected a contiguous tensor, got {t:?}");
        }
        let (start, _guard) = CudaStorage::as_cuda_slice::<T>(storage)?.device_ptr(&self.stream);
        Ok(start + (layout.start_offset() * size_of::<T>()) as u64)
    }

    fn address_as(&self, t: &Tensor, precision: Precision) -> Result<u64> {
        match precision {
            Precision::Bf16 => self.address_of::<half::bf16>(t),
            Precision::F32 => self.address_of::<f32>(t),
        }
    }
}

impl Machine for Gpu {
    fn precision(&self) -> Precision {
        self.precision
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn shared(&self) -> usize {
        self.shared
    }

    fn memory(&self, bytes: usize) -> Result<Memory> {
        // SAFETY: kernels write it before they read it.
        let slice = unsafe { self.device.alloc::<u8>(bytes)? };
        let address = slice.device_ptr(&self.stream).0;
        Ok(Memory::new(address, slice))
    }

    fn address(&self, t: &Tensor) -> Result<u64> {
        self.address_of::<f32>(t)
    }

    fn packed(&self, tensors: &[&Tensor], precision: Precision, keep: Keep) -> Result<Memory> {
        if let ([one], Precision::F32) = (tensors, precision) {
            return Ok(Memory::new(self.address(one)?, (*one).clone()));
        }
        let key = (tensors.iter().map(|t| t.id()).collect(), precision);
        if let Some(kept) = locked(&self.packed).get(&key) {
            return Ok(Memory::new(self.address_as(&kept.packed, precision)?, kept.packed.clone()));
        }
        let flat = tensors.iter().map(|t| t.flatten_all()).collect::<Result<Vec<_>>>()?;
        let dtype = if precision == Precision::Bf16 { DType::BF16 } else { DType::F32 };
        let packed = Tensor::cat(&flat, 0)?.to_dtype(dtype)?;
        let memory = Memory::new(self.address_as(&packed, precision)?, packed.clone());
        if keep != Keep::No {
            let _sources = tensors.iter().map(|&t| t.clone()).collect();
            locked(&self.packed).insert(key, Kept { _sources, packed, always: keep == Keep::Always });
        }
        Ok(memory)
    }

    fn forget(&self) {
        locked(&self.packed).retain(|_, kept| kept.always);
    }

    fn derived(&self, key: &Tensor, bytes: usize, make: &mut dyn FnMut(u64) -> Result<()>) -> Result<Memory> {
        if let Some((of, owner, address)) = &*locked(&self.derived)
            && of.id() == key.id()
        {
            return Ok(Memory::new(*address, owner.clone()));
        }
        // SAFETY: `make` writes it before anything reads it.
        let slice = unsafe { self.device.alloc::<u8>(bytes)? };
        let address = slice.device_ptr(&self.stream).0;
        make(address)?;
        let owner: Arc<dyn std::any::Any + Send + Sync> = Arc::new(slice);
        *locked(&self.derived) = Some((key.clone(), owner.clone(), address));
        Ok(Memory::new(address, owner))
    }

    fn part(&self) -> usize {
        PART
    }

    fn room(&self) -> usize {
        self.room.load(Ordering::Relaxed)
    }

    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()> {
        self.stream.context().bind_to_thread().w()?;
        // SAFETY: the caller's.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream.cu_stream()) }.w()
    }

    fn blocks(&self, launch: &Launch) -> Result<usize> {
        Ok(match launch.turns {
            true => launch.blocks.min(self.resident(self.function(launch)?, launch)?),
            false => launch.blocks,
        })
    }

    unsafe fn launch(&self, launch: &Launch, arguments: *const u8, _: usize) -> Result<()> {
        self.stream.context().bind_to_thread().w()?;
        let (function, blocks) = (self.function(launch)?, self.blocks(launch)?);
        let mut parameters = [arguments.cast::<c_void>().cast_mut()];
        // SAFETY: the caller's: arguments are this kernel's. The driver copies them before it returns.
        unsafe {
            result::launch_kernel(
                function.0,
                (blocks as u32, 1, 1),
                (launch.threads as u32, 1, 1),
                launch.shared as u32,
                self.stream.cu_stream(),
                &mut parameters,
            )
        }
        .map_err(|e| {
            let (kernel, threads, shared) = (&launch.kernel, launch.threads, launch.shared);
            candle_core::Error::Msg(format!(
                "{kernel}: cannot launch {blocks} blocks of {threads} threads, {shared} bytes: {e}"
            ))
        })
    }

    unsafe fn products(&self, p: &Products) -> Result<()> {
        use blas::cublasOperation_t::{CUBLAS_OP_N, CUBLAS_OP_T};
        use blas::cudaDataType_t::{CUDA_R_16BF, CUDA_R_32F};
        let kind = |p: Precision| if p == Precision::Bf16 { CUDA_R_16BF } else { CUDA_R_32F };
        // cuBLAS counts columns first, so to it every matrix is its transpose: outᵀ [n, m] = b·aᵀ. Stored [m, k], a is to it
        // [k, m] as it stands and b [k, n] to be turned; stored [k, m], a is to be turned and b stands.
        let op_a = if p.a.by_columns { CUBLAS_OP_T } else { CUBLAS_OP_N };
        let op_b = if p.b.by_columns { CUBLAS_OP_N } else { CUBLAS_OP_T };
        let (scale, before) = (p.scale, f32::from(u8::from(p.out.add)));
        let pointer = |address: u64| address as *const c_void;
        self.stream.context().bind_to_thread().w()?;
        let handle = self.device.cublas_handle();
        // SAFETY: the caller's: addresses are valid for these sizes. Factors are read from the host before it returns.
        unsafe {
            gemm_strided_batched_ex(
                *handle.handle(),
                op_b,
                op_a,
                p.n as c_int,
                p.m as c_int,
                p.k as c_int,
                (&raw const scale).cast(),
                pointer(p.b.address),
                kind(p.precision),
                p.b.row as c_int,
                p.b.step as i64,
                pointer(p.a.address),
                kind(p.precision),
                p.a.row as c_int,
                p.a.step as i64,
                (&raw const before).cast(),
                pointer(p.out.address).cast_mut(),
                kind(p.out.precision),
                p.out.row as c_int,
                p.out.step as i64,
                p.batch as c_int,
                blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
            )
        }
        .map_err(|e| candle_core::Error::Msg(format!("matrix products {p:?}: {e}")))
    }
}
