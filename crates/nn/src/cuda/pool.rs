//! A GPU's memory: what is free, what its pool of freed memory keeps, and how much was held.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{result, sys};
use candle_core::{Device, Result};

/// What the device whose context this thread has can still give, bytes.
pub(super) fn free() -> Result<u64> {
    Ok(result::mem_get_info().w()?.0 as u64)
}

/// The device's pool gives nothing back to the system: by default it does at every wait, and takes it again at a cost.
pub(super) fn keep_freed_memory(device: sys::CUdevice) -> Result<()> {
    let mut pool = std::ptr::null_mut();
    let mut all = u64::MAX;
    // SAFETY: a device of the driver; the attribute is a 64-bit number.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, device).result().w()?;
        let name = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, name, (&raw mut all).cast()).result().w()
    }
}

/// See [`super::take_peak_memory`].
pub(super) fn take_peak_memory(device: &Device) -> Result<u64> {
    let Device::Cuda(device) = device else { return Ok(0) };
    let (mut pool, mut peak, mut zero) = (std::ptr::null_mut(), 0u64, 0u64);
    let name = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: as in `keep_freed_memory`; setting it to zero begins anew.
    unsafe {
        let device = device.cuda_stream().context().cu_device();
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, device).result().w()?;
        sys::cuMemPoolGetAttribute(pool, name, (&raw mut peak).cast()).result().w()?;
        sys::cuMemPoolSetAttribute(pool, name, (&raw mut zero).cast()).result().w()?;
    }
    Ok(peak)
}
