//! Which GPUs there are, and why none is used. Asks the driver itself, if there is one; needs no CUDA to build.

use super::library::{Library, functions};
use std::ffi::{c_char, c_int};

/// A GPU as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As in `--device cuda:N`.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Its memory, bytes.
    pub memory: u64,
}

/// Least compute capability of our kernels: `mma.sync` of bf16, `cp.async`.
const LEAST: (i32, i32) = (8, 0);

/// Libraries that the GPU's backend calls, besides the driver's: what `kernels/toolchain.sh` builds against.
const NEEDED: [&str; 3] = ["libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10"];

/// Least CUDA version that the driver supports: kernels are compiled by this one, ×1000 + minor ×10.
const LEAST_DRIVER: i32 = 13000;

functions! {
    /// Of the driver.
    Driver {
        cuInit(u32) -> c_int,
        cuDriverGetVersion(*mut c_int) -> c_int,
        cuDeviceGetCount(*mut c_int) -> c_int,
        cuDeviceGet(*mut c_int, c_int) -> c_int,
        cuDeviceGetName(*mut c_char, c_int, c_int) -> c_int,
        cuDeviceGetAttribute(*mut c_int, c_int, c_int) -> c_int,
        cuDeviceTotalMem_v2(*mut usize, c_int) -> c_int,
    }
}

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`.
const CAPABILITY: [c_int; 2] = [75, 76];

/// All GPUs that the driver knows.
///
/// # Errors  Why there are none.
pub fn gpus() -> Result<Vec<Found>, String> {
    gpus_of(Library::open(&["libcuda.so.1"]))
}

fn gpus_of(library: Option<Library>) -> Result<Vec<Found>, String> {
    let library = library.ok_or("no NVIDIA driver: libcuda.so.1 was not found")?;
    let driver = Driver::of(library).map_err(|name| format!("the NVIDIA driver has no function {name}"))?;
    let check = |code: c_int, what: &str| match code {
        0 => Ok(()),
        100 => Err("the NVIDIA driver finds no GPU".to_string()),
        code => Err(format!("the NVIDIA driver does not work: {what} gave error {code}")),
    };
    // SAFETY: the functions' documented types; every pointer is to a local variable of that type.
    unsafe {
        check((driver.cuInit)(0), "cuInit")?;
        let (mut version, mut count) = (0, 0);
        check((driver.cuDriverGetVersion)(&raw mut version), "cuDriverGetVersion")?;
        check((driver.cuDeviceGetCount)(&raw mut count), "cuDeviceGetCount")?;
        if count == 0 {
            return Err("the NVIDIA driver finds no GPU".into());
        }
        if version < LEAST_DRIVER {
            let dotted = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
            let (found, least) = (dotted(version), dotted(LEAST_DRIVER));
            return Err(format!("the NVIDIA driver supports CUDA {found}, expected {least} or later"));
        }
        (0..count)
            .map(|index| {
                let (mut device, mut capability, mut memory) = (0, [0; 2], 0);
                let mut name = [0; 256];
                check((driver.cuDeviceGet)(&raw mut device, index), "cuDeviceGet")?;
                check((driver.cuDeviceGetName)(name.as_mut_ptr(), 255, device), "cuDeviceGetName")?;
                for (value, attribute) in capability.iter_mut().zip(CAPABILITY) {
                    check((driver.cuDeviceGetAttribute)(value, attribute, device), "cuDeviceGetAttribute")?;
                }
                check((driver.cuDeviceTotalMem_v2)(&raw mut memory, device), "cuDeviceTotalMem")?;
                let name: Vec<u8> = name.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
                Ok(Found {
                    index: index as usize,
                    name: String::from_utf8_lossy(&name).into_owned(),
                    capability: (capability[0], capability[1]),
                    memory: memory as u64,
                })
            })
            .collect()
    }
}

/// The GPU of this index, if it can be used by this program.
///
/// # Errors  Why not.
pub fn usable(index: usize) -> Result<Found, String> {
    if !super::BUILT {
        return Err("this build has no GPU support".into());
    }
    let mut all = gpus()?;
    if index >= all.len() {
        return Err(format!("expected a GPU below {}, got {index}", all.len()));
    }
    let gpu = all.swap_remove(index);
    is_able(&gpu)?;
    match NEEDED.iter().find(|name| Library::open(&[name]).is_none()) {
        Some(name) => Err(format!("{name} was not found: expected the libraries of CUDA 13")),
        None => Ok(gpu),
    }
}

fn is_able(gpu: &Found) -> Result<(), String> {
    if gpu.capability >= LEAST {
        return Ok(());
    }
    let ((major, minor), (least, least_minor)) = (gpu.capability, LEAST);
    let name = &gpu.name;
    Err(format!("{name} has compute capability {major}.{minor}, expected {least}.{least_minor} or more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_driver_there_is_a_reason() {
        assert_eq!(gpus_of(None).unwrap_err(), "no NVIDIA driver: libcuda.so.1 was not found");
        // A library that is no driver.
        if let Some(libc) = Library::open(&["libc.so.6"]) {
            let error = gpus_of(Some(libc)).unwrap_err();
            assert_eq!(error, "the NVIDIA driver has no function cuInit");
        }
        if !super::super::BUILT {
            assert_eq!(usable(0).unwrap_err(), "this build has no GPU support");
        }
    }

    #[test]
    fn old_gpus_are_refused() {
        let gpu = |capability| Found { index: 0, name: "T4".into(), capability, memory: 1 };
        let error = is_able(&gpu((7, 5))).unwrap_err();
        assert_eq!(error, "T4 has compute capability 7.5, expected 8.0 or more");
        assert!(is_able(&gpu((8, 0))).is_ok() && is_able(&gpu((9, 0))).is_ok());
    }
}
