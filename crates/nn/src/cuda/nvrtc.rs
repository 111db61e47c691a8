//! Kernels from source at first use: NVIDIA's run-time compiler, and what it made kept on disk.

use super::library::{Library, functions};
use super::source;
use sha2::{Digest, Sha256};
use std::ffi::{CString, c_char, c_int, c_void};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::ptr::null;

functions! {
    /// Of NVRTC.
    Functions {
        nvrtcVersion(*mut c_int, *mut c_int) -> c_int,
        nvrtcCreateProgram(*mut *mut c_void, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int,
        nvrtcCompileProgram(*mut c_void, c_int, *const *const c_char) -> c_int,
        nvrtcGetProgramLogSize(*mut c_void, *mut usize) -> c_int,
        nvrtcGetProgramLog(*mut c_void, *mut c_char) -> c_int,
        nvrtcGetCUBINSize(*mut c_void, *mut usize) -> c_int,
        nvrtcGetCUBIN(*mut c_void, *mut c_char) -> c_int,
        nvrtcDestroyProgram(*mut *mut c_void) -> c_int,
    }
}

/// What every kernel is compiled with, besides the architecture.
const FLAGS: &[&str] = &["--std=c++17"];

/// The compiler.
pub struct Nvrtc {
    functions: Functions,
    version: (i32, i32),
}

impl Nvrtc {
    /// Opens the library.
    ///
    /// # Errors  Why it cannot be used.
    pub fn open() -> Result<Self, String> {
        let names = ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"];
        let library = Library::open(&names).ok_or("libnvrtc.so.13 was not found")?;
        let functions = Functions::of(library).map_err(|name| format!("NVRTC has no function {name}"))?;
        let mut version = (0, 0);
        // SAFETY: two pointers to integers.
        let code = unsafe { (functions.nvrtcVersion)(&raw mut version.0, &raw mut version.1) };
        if code != 0 {
            return Err(format!("NVRTC does not work: nvrtcVersion gave error {code}"));
        }
        // The compiler looks for its own library by name alone, also where it was itself found elsewhere.
        let (major, minor) = version;
        Library::open(&[&format!("libnvrtc-builtins.so.{major}.{minor}")]);
        Ok(Self { functions, version })
    }

    /// Its version.
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// Machine code for `arch` (as `sm_90a`) of a file of kernels: from `cache`, or compiled and put there.
    ///
    /// # Errors  What the compiler says.
    pub fn cubin(&self, file: &str, arch: &str, cache: Option<&Path>) -> Result<Vec<u8>, String> {
        let text = source::text(file);
        let place = cache.map(|folder| folder.join(format!("{}.cubin", key(&text, arch, self.version))));
        if let Some(kept) = place.as_deref().and_then(read) {
            return Ok(kept);
        }
        let cubin = self.compile(file, &text, arch)?;
        if let Some(place) = place {
            // Without a cache it is only slower.
            let _ = write(&place, &cubin);
        }
        Ok(cubin)
    }

    fn compile(&self, file: &str, text: &str, arch: &str) -> Result<Vec<u8>, String> {
        let f = &self.functions;
        let zero_ended =
            |text: &str| CString::new(text).map_err(|_| format!("{file}: a zero byte in {text:?}"));
        let (text, name) = (zero_ended(text)?, zero_ended(&format!("{file}.cu"))?);
        let flags = [zero_ended(&format!("--gpu-architecture={arch}"))?];
        let flags: Vec<CString> = flags
            .into_iter()
            .map(Ok)
            .chain(FLAGS.iter().map(|flag| zero_ended(flag)))
            .collect::<Result<_, _>>()?;
        let flags: Vec<*const c_char> = flags.iter().map(|flag| flag.as_ptr()).collect();
        let check = |code: c_int, what: &str| match code {
            0 => Ok(()),
            code => Err(format!("{file}.cu for {arch}: {what} gave error {code}")),
        };
        let mut program = std::ptr::null_mut();
        // SAFETY: the functions' documented types; texts are zero-ended and live until the program is destroyed, buffers
        // have the sizes that were asked for.
        unsafe {
            let created =
                (f.nvrtcCreateProgram)(&raw mut program, text.as_ptr(), name.as_ptr(), 0, null(), null());
            check(created, "nvrtcCreateProgram")?;
            let compiled = (f.nvrtcCompileProgram)(program, flags.len() as c_int, flags.as_ptr());
            let mut size = 0;
            let outcome = if compiled != 0 {
                let mut log = Vec::new();
                if (f.nvrtcGetProgramLogSize)(program, &raw mut size) == 0 {
                    log.resize(size, 0u8);
                    (f.nvrtcGetProgramLog)(program, log.as_mut_ptr().cast());
                }
                let log = String::from_utf8_lossy(&log).trim_end_matches('\0').to_string();
                Err(format!("{file}.cu for {arch}: {log}"))
            } else {
                check((f.nvrtcGetCUBINSize)(program, &raw mut size), "nvrtcGetCUBINSize").and_then(|()| {
                    let mut cubin = vec![0u8; size];
                    check((f.nvrtcGetCUBIN)(program, cubin.as_mut_ptr().cast()), "nvrtcGetCUBIN")?;
                    Ok(cubin)
                })
            };
            (f.nvrtcDestroyProgram)(&raw mut program);
            outcome
        }
    }
}

/// The architecture to compile for: with the features of its own kind where they are named apart.
pub fn arch((major, minor): (i32, i32)) -> String {
    let own = if (major, minor) == (9, 0) { "a" } else { "" };
    format!("sm_{major}{minor}{own}")
}

/// Where compiled kernels are kept: `$FOLDRY_CACHE`, `$XDG_CACHE_HOME/foldry` or `~/.cache/foldry`.
pub fn cache() -> Option<PathBuf> {
    let place = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = place("FOLDRY_CACHE").or_else(|| {
        place("XDG_CACHE_HOME").or_else(|| Some(place("HOME")?.join(".cache"))).map(|p| p.join("foldry"))
    });
    Some(folder?.join("kernels"))
}

/// SHA-256 of everything that decides on the machine code, hexadecimal.
fn key(text: &str, arch: &str, (major, minor): (i32, i32)) -> String {
    let mut hash = Sha256::new();
    for part in [text, &FLAGS.join(" "), arch, &format!("{major}.{minor}")] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What [`write`] wrote, whole.
fn read(place: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(place).ok()?;
    let (sum, cubin) = bytes.split_at_checked(32)?;
    (Sha256::digest(cubin)[..] == *sum).then(|| cubin.to_vec())
}

/// The checksum and the machine code.
fn write(place: &Path, cubin: &[u8]) -> Result<(), crate::files::FileError> {
    let name = || place.display().to_string();
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(|e| crate::files::FileError::io(name(), e))?;
    }
    crate::files::write_atomically(place, |out| {
        out.write_all(&Sha256::digest(cubin))
            .and_then(|()| out.write_all(cubin))
            .map_err(|e| crate::files::FileError::io(name(), e))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_see_every_part() {
        let base = key("a", "sm_80", (13, 0));
        assert_eq!((base.len(), &base), (64, &key("a", "sm_80", (13, 0))));
        for other in [key("b", "sm_80", (13, 0)), key("a", "sm_90a", (13, 0)), key("a", "sm_80", (13, 1))] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn architectures() {
        assert_eq!([(8, 0), (8, 6), (9, 0), (12, 0)].map(arch), ["sm_80", "sm_86", "sm_90a", "sm_120"]);
    }

    #[test]
    fn damaged_files_are_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("deeper").join("x.cubin");
        assert_eq!(read(&place), None);
        write(&place, b"machine code").unwrap();
        assert_eq!(read(&place).unwrap(), b"machine code");
        let whole = fs::read(&place).unwrap();
        for cut in [0, 31, 32, whole.len() - 1] {
            fs::write(&place, &whole[..cut]).unwrap();
            assert_eq!(read(&place), None, "{cut}");
        }
    }

    /// Needs the library, which comes with a CUDA toolkit or a Python wheel; `kernels/nvrtc.py` compiles the same texts.
    #[test]
    #[ignore = "needs libnvrtc: CUDA_HOME=$(kernels/toolchain.sh FOLDER) cargo test -p nn nvrtc -- --ignored"]
    fn every_kernel_compiles_and_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let nvrtc = Nvrtc::open().unwrap();
        let start = std::time::Instant::now();
        for file in source::files() {
            let cubin = nvrtc.cubin(file, "sm_90a", Some(folder.path())).unwrap();
            assert_eq!(&cubin[..4], b"\x7fELF", "{file}");
        }
        let compiled = start.elapsed();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), source::files().count());
        let start = std::time::Instant::now();
        for file in source::files() {
            assert_eq!(&nvrtc.cubin(file, "sm_90a", Some(folder.path())).unwrap()[..4], b"\x7fELF");
        }
        assert!(
            start.elapsed() * 10 < compiled,
            "{:?} from the cache, {compiled:?} compiled",
            start.elapsed()
        );
        let error = nvrtc.compile("wrong", "KERNEL x( {", "sm_90a").unwrap_err();
        assert!(error.starts_with("wrong.cu for sm_90a: ") && error.contains("error"), "{error}");
    }
}
