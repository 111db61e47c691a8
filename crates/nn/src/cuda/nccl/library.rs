//! NCCL's functions, opened by name.

use super::super::library::{Library, functions};
use super::staging::Place;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

/// `ncclComm_t`.
pub(super) type Handle = *mut c_void;

/// `ncclUint8`: bytes are moved, whatever they stand for.
const BYTES: c_int = 1;

/// The first version with all that is called (`ncclSend`), and where to get one.
const LEAST: (i32, i32) = (2, 7);
const SOURCE: &str = "NCCL 2.7 or later: NVIDIA's package libnccl2, or the folder `lib` of the wheel nvidia-nccl-cu13 \
                      in LD_LIBRARY_PATH";

/// What the ranks of one run have in common: made by one, given to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Id(pub [u8; 128]);

functions! {
    /// Of NCCL.
    Functions {
        ncclGetVersion(*mut c_int) -> c_int,
        ncclGetUniqueId(*mut Id) -> c_int,
        ncclCommInitRank(*mut Handle, c_int, Id, c_int) -> c_int,
        ncclCommDestroy(Handle) -> c_int,
        ncclCommAbort(Handle) -> c_int,
        ncclCommGetAsyncError(Handle, *mut c_int) -> c_int,
        ncclGetErrorString(c_int) -> *const c_char,
        ncclGroupStart() -> c_int,
        ncclGroupEnd() -> c_int,
        ncclSend(*const c_void, usize, c_int, c_int, Handle, *mut c_void) -> c_int,
        ncclRecv(*mut c_void, usize, c_int, c_int, Handle, *mut c_void) -> c_int,
        ncclBroadcast(*const c_void, *mut c_void, usize, c_int, c_int, Handle, *mut c_void) -> c_int,
    }
}

/// The library.
pub(super) struct Api(Functions);

/// NCCL's version on this machine.
///
/// # Errors  Why it cannot be used.
pub fn version() -> Result<(i32, i32, i32), String> {
    Api::open()?.version()
}

impl Id {
    /// A new one.
    ///
    /// # Errors  If NCCL is missing or finds no network.
    pub fn make() -> Result<Self, String> {
        let api = Api::open()?;
        let mut id = Self([0; 128]);
        // SAFETY: a pointer to 128 bytes.
        api.told(unsafe { (api.0.ncclGetUniqueId)(&raw mut id) }, "ncclGetUniqueId")?;
        Ok(id)
    }
}

impl Api {
    pub(super) fn open() -> Result<Self, String> {
        Self::of(Library::open(&["libnccl.so.2"]))
    }

    fn of(library: Option<Library>) -> Result<Self, String> {
        let library = library.ok_or_else(|| format!("libnccl.so.2 was not found: expected {SOURCE}"))?;
        let functions = Functions::of(library)
            .map_err(|name| format!("libnccl.so.2 has no function {name}: expected {SOURCE}"))?;
        let api = Self(functions);
        let (major, minor, patch) = api.version()?;
        if (major, minor) < LEAST {
            return Err(format!("libnccl.so.2 is NCCL {major}.{minor}.{patch}: expected {SOURCE}"));
        }
        Ok(api)
    }

    fn version(&self) -> Result<(i32, i32, i32), String> {
        let mut code = 0;
        // SAFETY: a pointer to an integer.
        self.told(unsafe { (self.0.ncclGetVersion)(&raw mut code) }, "ncclGetVersion")?;
        Ok(dotted(code))
    }

    /// Becomes one of `world` ranks, on the GPU whose context this thread has bound.
    pub(super) fn begin(&self, id: &Id, rank: usize, world: usize) -> Result<Handle, String> {
        let mut handle = null_mut();
        // SAFETY: the documented types; the handle is a local variable.
        let code = unsafe { (self.0.ncclCommInitRank)(&raw mut handle, world as c_int, *id, rank as c_int) };
        self.told(code, "ncclCommInitRank")?;
        Ok(handle)
    }

    /// What `calls` give is done together: none of them waits for another.
    pub(super) fn group(&self, calls: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        // SAFETY: no arguments; a group that was begun is ended, also after an error.
        unsafe {
            self.told((self.0.ncclGroupStart)(), "ncclGroupStart")?;
            let outcome = calls();
            let ended = (self.0.ncclGroupEnd)();
            outcome?;
            self.told(ended, "ncclGroupEnd")
        }
    }

    pub(super) fn send(
        &self,
        comm: Handle,
        from: Place,
        to: usize,
        stream: *mut c_void,
    ) -> Result<(), String> {
        if from.bytes == 0 {
            return Ok(());
        }
        let address = from.address as *const c_void;
        // SAFETY: a place in this GPU's memory that lives as long as the handle.
        let code = unsafe { (self.0.ncclSend)(address, from.bytes, BYTES, to as c_int, comm, stream) };
        self.told(code, "ncclSend")
    }

    pub(super) fn receive(
        &self,
        comm: Handle,
        to: Place,
        from: usize,
        stream: *mut c_void,
    ) -> Result<(), String> {
        if to.bytes == 0 {
            return Ok(());
        }
        let address = to.address as *mut c_void;
        // SAFETY: as above.
        let code = unsafe { (self.0.ncclRecv)(address, to.bytes, BYTES, from as c_int, comm, stream) };
        self.told(code, "ncclRecv")
    }

    /// `place` of the rank `root` reaches that of all.
    pub(super) fn broadcast(
        &self,
        comm: Handle,
        place: Place,
        root: usize,
        stream: *mut c_void,
    ) -> Result<(), String> {
        if place.bytes == 0 {
            return Ok(());
        }
        let (address, root) = (place.address as *mut c_void, root as c_int);
        // SAFETY: as above; it may be sent from and received at the same place.
        let code =
            unsafe { (self.0.ncclBroadcast)(address, address, place.bytes, BYTES, root, comm, stream) };
        self.told(code, "ncclBroadcast")
    }

    /// Whether something that was given to the GPU has failed since.
    pub(super) fn check(&self, comm: Handle) -> Result<(), String> {
        let mut code = 0;
        // SAFETY: a handle that was begun, and a pointer to an integer.
        self.told(unsafe { (self.0.ncclCommGetAsyncError)(comm, &raw mut code) }, "ncclCommGetAsyncError")?;
        self.told(code, "exchange between ranks")
    }

    /// Ends a handle of which all ranks are done.
    pub(super) fn end(&self, comm: Handle) {
        // SAFETY: a handle that was begun and is not used again.
        unsafe { (self.0.ncclCommDestroy)(comm) };
    }

    /// Ends a handle at once.
    pub(super) fn abort(&self, comm: Handle) {
        // SAFETY: as above.
        unsafe { (self.0.ncclCommAbort)(comm) };
    }

    fn told(&self, code: c_int, what: &str) -> Result<(), String> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: gives a zero-ended text that is never freed, or nothing.
        let text = unsafe {
            let text = (self.0.ncclGetErrorString)(code);
            if text.is_null() { "unknown".into() } else { CStr::from_ptr(text).to_string_lossy() }
        };
        Err(format!("NCCL: {what} gave error {code}, {text}"))
    }
}

/// `NCCL_VERSION_CODE`, of which there are two forms: 2708 is 2.7.8, and from 2.9 on 20903 is 2.9.3.
fn dotted(code: c_int) -> (i32, i32, i32) {
    if code < 10000 {
        (code / 1000, code / 100 % 10, code % 100)
    } else {
        (code / 10000, code / 100 % 100, code % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_wrong_library_is_named() {
        let error = Api::of(None).err().unwrap();
        assert!(error.starts_with("libnccl.so.2 was not found: expected NCCL 2.7 or later: "), "{error}");
        if let Some(libc) = Library::open(&["libc.so.6"]) {
            let error = Api::of(Some(libc)).err().unwrap();
            assert!(
                error.starts_with("libnccl.so.2 has no function ncclGetVersion: expected NCCL 2.7"),
                "{error}"
            );
        }
    }

    #[test]
    fn versions_of_either_form() {
        assert_eq!([2408, 2708, 20903, 23203].map(dotted), [(2, 4, 8), (2, 7, 8), (2, 9, 3), (2, 32, 3)]);
    }

    /// The library comes with no driver; it needs one for more than this.
    #[test]
    #[ignore = "needs libnccl: LD_LIBRARY_PATH=FOLDER cargo test -p nn nccl -- --ignored"]
    fn the_real_library_answers() {
        println!("NCCL {:?}", version().unwrap());
        let (one, other) = (Id::make().unwrap(), Id::make().unwrap());
        assert_ne!(one, other);
        let api = Api::open().unwrap();
        assert_eq!(
            api.told(4, "x").unwrap_err(),
            "NCCL: x gave error 4, invalid argument (run with NCCL_DEBUG=WARN for details)"
        );
    }
}
