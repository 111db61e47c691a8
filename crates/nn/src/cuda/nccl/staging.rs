//! Two pieces of a GPU's memory through which host values go, and the stream in which that happens.
//!
//! Asks the driver itself, as `driver.rs` does, so that it is the same with and without the feature `cuda`; the context is the GPU's
//! primary one, which candle and NCCL use.

use super::super::driver::gpus;
use super::super::library::{Library, functions};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{null, null_mut};

functions! {
    /// Of the driver.
    Driver {
        cuDeviceGet(*mut c_int, c_int) -> c_int,
        cuDevicePrimaryCtxRetain(*mut *mut c_void, c_int) -> c_int,
        cuDevicePrimaryCtxRelease_v2(c_int) -> c_int,
        cuCtxSetCurrent(*mut c_void) -> c_int,
        cuStreamCreate(*mut *mut c_void, u32) -> c_int,
        cuStreamQuery(*mut c_void) -> c_int,
        cuStreamSynchronize(*mut c_void) -> c_int,
        cuStreamDestroy_v2(*mut c_void) -> c_int,
        cuMemAlloc_v2(*mut u64, usize) -> c_int,
        cuMemFree_v2(u64) -> c_int,
        cuMemcpyHtoDAsync_v2(u64, *const c_void, usize, *mut c_void) -> c_int,
        cuMemcpyDtoHAsync_v2(*mut c_void, u64, usize, *mut c_void) -> c_int,
        cuGetErrorString(c_int, *mut *const c_char) -> c_int,
    }
}

/// `CU_STREAM_NON_BLOCKING`: does not wait for the default stream.
const OWN: u32 = 1;
/// `CUDA_ERROR_NOT_READY`.
const NOT_READY: c_int = 600;

/// A part of the GPU's memory.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub address: u64,
    pub bytes: usize,
}

/// The memory and the stream.
pub(super) struct Staging {
    driver: Driver,
    device: c_int,
    context: *mut c_void,
    stream: *mut c_void,
    outgoing: u64,
    incoming: u64,
    /// Of each of the two.
    bytes: usize,
}

// SAFETY: handles of the driver may be used by any thread, one at a time.
unsafe impl Send for Staging {}

impl Staging {
    /// On GPU `index`; this thread is bound to it.
    ///
    /// # Errors  Why it cannot be used.
    pub(super) fn open(index: usize, bytes: usize) -> Result<Self, String> {
        let found = gpus()?.len();
        if index >= found {
            return Err(format!("expected a GPU below {found}, got {index}"));
        }
        let library =
            Library::open(&["libcuda.so.1"]).ok_or("no NVIDIA driver: libcuda.so.1 was not found")?;
        let driver =
            Driver::of(library).map_err(|name| format!("the NVIDIA driver has no function {name}"))?;
        let (context, stream) = (null_mut(), null_mut());
        let mut new = Self { driver, device: 0, context, stream, outgoing: 0, incoming: 0, bytes };
        // What is made is freed if something later fails: fields are filled one by one.
        // SAFETY: the documented types; every pointer is to a field of that type.
        unsafe {
            let driver = &new.driver;
            told(driver, (driver.cuDeviceGet)(&raw mut new.device, index as c_int), "cuDeviceGet")?;
            let code = (driver.cuDevicePrimaryCtxRetain)(&raw mut new.context, new.device);
            told(driver, code, "cuDevicePrimaryCtxRetain")?;
            new.bind()?;
            let driver = &new.driver;
            told(driver, (driver.cuStreamCreate)(&raw mut new.stream, OWN), "cuStreamCreate")?;
            let what = format!("cuMemAlloc of {bytes} bytes");
            told(driver, (driver.cuMemAlloc_v2)(&raw mut new.outgoing, bytes), &what)?;
            told(driver, (driver.cuMemAlloc_v2)(&raw mut new.incoming, bytes), &what)?;
        }
        Ok(new)
    }

    /// Makes the GPU this thread's, for NCCL too.
    pub(super) fn bind(&self) -> Result<(), String> {
        // SAFETY: a context that is retained.
        told(&self.driver, unsafe { (self.driver.cuCtxSetCurrent)(self.context) }, "cuCtxSetCurrent")
    }

    pub(super) fn stream(&self) -> *mut c_void {
        self.stream
    }

    /// `bytes` of what is to be sent, from byte `at` on.
    pub(super) fn outgoing(&self, at: usize, bytes: usize) -> Place {
        assert!(at + bytes <= self.bytes, "within the memory");
        Place { address: self.outgoing + at as u64, bytes }
    }

    /// `bytes` of what is received, from byte `at` on.
    pub(super) fn incoming(&self, at: usize, bytes: usize) -> Place {
        assert!(at + bytes <= self.bytes, "within the memory");
        Place { address: self.incoming + at as u64, bytes }
    }

    /// Brings values to where they are sent from. They may be changed after [`Staging::finish`] only.
    pub(super) fn upload(&self, at: usize, from: &[u8]) -> Result<(), String> {
        self.copy_in(self.outgoing(at, from.len()), from)
    }

    /// The same to where values are received.
    pub(super) fn upload_incoming(&self, at: usize, from: &[u8]) -> Result<(), String> {
        self.copy_in(self.incoming(at, from.len()), from)
    }

    fn copy_in(&self, to: Place, from: &[u8]) -> Result<(), String> {
        if from.is_empty() {
            return Ok(());
        }
        let (driver, start) = (&self.driver, from.as_ptr().cast());
        // SAFETY: as many bytes on both sides.
        let code = unsafe { (driver.cuMemcpyHtoDAsync_v2)(to.address, start, to.bytes, self.stream) };
        told(driver, code, "cuMemcpyHtoD")
    }

    /// Brings what was received. It is there after [`Staging::finish`].
    pub(super) fn download(&self, to: &mut [u8], at: usize) -> Result<(), String> {
        if to.is_empty() {
            return Ok(());
        }
        let (driver, from) = (&self.driver, self.incoming(at, to.len()));
        // SAFETY: as many bytes on both sides.
        let code = unsafe {
            (driver.cuMemcpyDtoHAsync_v2)(to.as_mut_ptr().cast(), from.address, from.bytes, self.stream)
        };
        told(driver, code, "cuMemcpyDtoH")
    }

    /// Whether the stream is through with what it was given.
    pub(super) fn is_done(&self) -> Result<bool, String> {
        // SAFETY: a stream that lives.
        match unsafe { (self.driver.cuStreamQuery)(self.stream) } {
            NOT_READY => Ok(false),
            code => told(&self.driver, code, "work on the GPU").map(|()| true),
        }
    }

    /// Waits until it is.
    pub(super) fn finish(&self) -> Result<(), String> {
        // SAFETY: a stream that lives.
        told(&self.driver, unsafe { (self.driver.cuStreamSynchronize)(self.stream) }, "work on the GPU")
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.context.is_null() || self.bind().is_err() {
            return;
        }
        // SAFETY: what was made, once; zero is what was not.
        unsafe {
            for address in [self.outgoing, self.incoming].into_iter().filter(|&a| a != 0) {
                (self.driver.cuMemFree_v2)(address);
            }
            if !self.stream.is_null() {
                (self.driver.cuStreamDestroy_v2)(self.stream);
            }
            (self.driver.cuDevicePrimaryCtxRelease_v2)(self.device);
        }
    }
}

fn told(driver: &Driver, code: c_int, what: &str) -> Result<(), String> {
    if code == 0 {
        return Ok(());
    }
    let mut text = null();
    // SAFETY: gives a zero-ended text that is never freed, or leaves nothing.
    let text = unsafe {
        (driver.cuGetErrorString)(code, &raw mut text);
        if text.is_null() { "unknown".into() } else { CStr::from_ptr(text).to_string_lossy() }
    };
    Err(format!("the NVIDIA driver: {what} gave error {code}, {text}"))
}
