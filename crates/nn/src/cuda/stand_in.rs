//! Finds the functions of CUDA's libraries for the stand-ins that `build.rs` makes, when they are first called.

use super::library::Library;
use std::ffi::{CStr, c_char, c_void};

/// The address of a function of a library. Called by the stand-ins alone, before whose use [`super::usable`] has seen that the
/// libraries are there: if one is not, or lacks the function, there is nothing to return.
///
/// # Safety
/// Two zero-ended texts.
#[unsafe(no_mangle)]
unsafe extern "C" fn foldry_cuda_function(library: *const c_char, name: *const c_char) -> *const c_void {
    // SAFETY: as the caller's.
    let (library, name) = unsafe { (CStr::from_ptr(library), CStr::from_ptr(name)) };
    let (library, name) = (library.to_string_lossy(), name.to_string_lossy());
    match Library::open(&[&library]).map(|open| open.function(&name)) {
        Some(Some(address)) => address,
        Some(None) => stop(&format!("{library} has no function {name}")),
        None => stop(&format!("{library} was not found")),
    }
}

fn stop(what: &str) -> ! {
    eprintln!("ERROR  {what}: expected the libraries of CUDA 13");
    std::process::exit(1)
}
