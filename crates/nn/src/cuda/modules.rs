//! Kernels that are loaded: compiled when this program was built, or from source at first use.

use super::machine::Launch;
use super::nvrtc::{self, Nvrtc};
use candle_core::Result;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{result, sys};
use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};

/// Kernels compiled when this program was built, by their file's stem.
const FATBINS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/fatbins.rs"));

/// A kernel that is loaded.
#[derive(Clone, Copy)]
pub(super) struct Function(pub sys::CUfunction);
// SAFETY: handles of the driver may be used by any thread.
unsafe impl Send for Function {}

/// A file of kernels that is loaded, for as long as the program runs.
#[derive(Clone, Copy)]
struct Module(sys::CUmodule);
// SAFETY: as above.
unsafe impl Send for Module {}

/// What is loaded on a device.
#[derive(Default)]
pub(super) struct Modules {
    files: HashMap<&'static str, Module>,
    functions: HashMap<String, Function>,
}

impl Modules {
    /// A kernel, which may have `shared` bytes of shared memory, of a GPU that is `arch`; the thread has its context.
    pub fn function(&mut self, launch: &Launch, arch: &str, shared: usize) -> Result<Function> {
        if let Some(function) = self.functions.get(&launch.kernel) {
            return Ok(*function);
        }
        let module = match self.files.get(launch.file) {
            Some(module) => *module,
            None => Module(load(launch.file, arch)?),
        };
        self.files.insert(launch.file, module);
        let name = CString::new(launch.kernel.as_str()).expect("names have no zero bytes");
        // SAFETY: a loaded module; the attribute allows as much shared memory as the GPU has.
        let function = unsafe {
            let function = result::module::get_function(module.0, name).w()?;
            let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            result::function::set_function_attribute(function, attribute, shared as c_int).w()?;
            Function(function)
        };
        self.functions.insert(launch.kernel.clone(), function);
        Ok(function)
    }
}

/// From what was compiled beforehand if this GPU can run it, else from source. `FOLDRY_KERNELS=source` takes the source in
/// any case.
fn load(file: &'static str, arch: &str) -> Result<sys::CUmodule> {
    let from_source = std::env::var("FOLDRY_KERNELS").is_ok_and(|v| v == "source");
    let compiled = FATBINS.iter().find(|(name, _)| *name == file).filter(|_| !from_source);
    if let Some((_, image)) = compiled {
        let image = Image::new(image);
        // SAFETY: a fat binary, whole and aligned.
        match unsafe { result::module::load_data(image.start()) } {
            Ok(module) => return Ok(module),
            Err(e) if e.0 == sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => {}
            Err(e) => return Err(e).w(),
        }
    }
    let nvrtc = Nvrtc::open().map_err(candle_core::Error::Msg)?;
    let cubin = nvrtc.cubin(file, arch, nvrtc::cache().as_deref()).map_err(candle_core::Error::Msg)?;
    let image = Image::new(&cubin);
    // SAFETY: machine code for this GPU, whole and aligned.
    unsafe { result::module::load_data(image.start()) }.w()
}

/// Machine code in memory aligned as the driver reads it.
struct Image(Vec<u128>);

impl Image {
    fn new(bytes: &[u8]) -> Self {
        let words = bytes.chunks(16).map(|chunk| {
            let mut word = [0; 16];
            word[..chunk.len()].copy_from_slice(chunk);
            u128::from_ne_bytes(word)
        });
        Self(words.collect())
    }

    fn start(&self) -> *const c_void {
        self.0.as_ptr().cast()
    }
}
