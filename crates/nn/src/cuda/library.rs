//! Shared libraries that may be missing: opened by name when they are needed.

use std::ffi::{CStr, CString, c_void};
use std::path::Path;

/// An open shared library, never closed.
#[derive(Clone, Copy)]
pub struct Library(*mut c_void);

// SAFETY: a handle of the loader may be used by any thread.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// The first of `names` that is there, in the loader's own places or where a CUDA toolkit puts them. None on systems
    /// without `dlopen`.
    pub fn open(names: &[&str]) -> Option<Self> {
        let folders: Vec<String> = ["CUDA_HOME", "CUDA_PATH"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .chain(["/usr/local/cuda".into(), "/opt/cuda".into()])
            .flat_map(|home| [format!("{home}/lib64"), format!("{home}/lib")])
            .collect();
        names.iter().find_map(|name| open(name)).or_else(|| {
            folders.iter().find_map(|folder| {
                names.iter().find_map(|name| {
                    let path = Path::new(folder).join(name);
                    if path.exists() { open(path.to_str()?) } else { None }
                })
            })
        })
    }

    /// The address of a function.
    pub fn function(&self, name: &str) -> Option<*mut c_void> {
        let name = CString::new(name).ok()?;
        find(self.0, &name)
    }
}

#[cfg(unix)]
fn open(name: &str) -> Option<Library> {
    let name = CString::new(name).ok()?;
    // SAFETY: a zero-ended name. Libraries of CUDA may be loaded at any time.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    (!handle.is_null()).then_some(Library(handle))
}

#[cfg(unix)]
fn find(handle: *mut c_void, name: &CStr) -> Option<*mut c_void> {
    // SAFETY: an open library and a zero-ended name.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

#[cfg(not(unix))]
fn open(_: &str) -> Option<Library> {
    None
}

#[cfg(not(unix))]
fn find(_: *mut c_void, _: &CStr) -> Option<*mut c_void> {
    None
}

/// Declares functions of a library: `fn name(types) -> type` become fields of a struct that [`Library`] fills.
macro_rules! functions {
    ($(#[$doc:meta])* $struct:ident { $($name:ident($($type:ty),*) -> $result:ty,)* }) => {
        $(#[$doc])*
        #[allow(non_snake_case)]
        struct $struct { $($name: unsafe extern "C" fn($($type),*) -> $result,)* }
        impl $struct {
            /// All of them, or the name of the first that is missing.
            fn of(library: $crate::cuda::library::Library) -> Result<Self, &'static str> {
                Ok(Self { $($name: {
                    let address = library.function(stringify!($name)).ok_or(stringify!($name))?;
                    // SAFETY: the library's function of that name has this type.
                    unsafe {
                        std::mem::transmute::<*mut std::ffi::c_void, unsafe extern "C" fn($($type),*) -> $result>(address)
                    }
                },)* })
            }
        }
    };
}
pub(super) use functions;
