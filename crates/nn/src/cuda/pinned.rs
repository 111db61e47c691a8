//! Uploads that the host does not wait for. From ordinary memory the driver copies more than 64 KiB only when the GPU has done all it was
//! given before, and the GPU then runs dry; from memory that is locked ("pinned") it copies in the stream's order, while the host goes on.

use candle_core::Result;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaStream, result};
use std::collections::VecDeque;
use std::ffi::c_void;

/// What the driver takes into its own buffer at once: no need to lock memory for it.
const AT_ONCE: usize = 64 << 10;

/// Most memory that is locked. What needs more is so much that waiting for it is nothing beside computing on it.
const MOST: usize = 512 << 20;

/// Locked memory comes in multiples of this, so that pieces serve again.
const PIECE: usize = 1 << 20;

/// A piece of locked memory.
struct Pinned {
    start: *mut c_void,
    bytes: usize,
}

// SAFETY: plain memory of the process, which one owner has.
unsafe impl Send for Pinned {}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: it came from the driver, and no copy of it is under way. At the end of the program the driver may be gone already.
        let _ = unsafe { result::free_host(self.start) };
    }
}

/// Locked memory of a device: what is free, and what is being copied, each with the event behind its copy.
#[derive(Default)]
pub(super) struct Uploads {
    free: Vec<Pinned>,
    busy: VecDeque<(Pinned, CudaEvent)>,
}

impl Uploads {
    /// Copies `bytes` to `address` in the order of `stream`, whose context this thread has. Returns when `bytes` may change.
    pub fn copy(&mut self, bytes: &[u8], address: u64, stream: &CudaStream) -> Result<()> {
        let to = |from: &[u8]| {
            // SAFETY: the caller's memory has room for so many bytes; locked memory is kept until the copy is done.
            unsafe { result::memcpy_htod_async(address, from, stream.cu_stream()) }.w()
        };
        let piece = if bytes.len() > AT_ONCE { self.take(bytes.len()) } else { None };
        let Some(piece) = piece else { return to(bytes) };
        // SAFETY: the piece is at least so long, and nobody else has it.
        let locked = unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), piece.start.cast(), bytes.len());
            std::slice::from_raw_parts(piece.start.cast::<u8>(), bytes.len())
        };
        to(locked)?;
        self.busy.push_back((piece, stream.record_event(None).w()?));
        Ok(())
    }

    /// A free piece of at least so many bytes; none if too much is locked, or the system locks no more.
    fn take(&mut self, bytes: usize) -> Option<Pinned> {
        // They end in order.
        while self.busy.front().is_some_and(|(_, end)| end.is_complete()) {
            let (piece, _) = self.busy.pop_front().expect("there is one");
            self.free.push(piece);
        }
        let fitting = self.free.iter().enumerate().filter(|(_, piece)| piece.bytes >= bytes);
        if let Some((best, _)) = fitting.min_by_key(|(_, piece)| piece.bytes) {
            return Some(self.free.swap_remove(best));
        }
        let bytes = bytes.next_multiple_of(PIECE);
        let of = |pieces: usize, piece: &Pinned| pieces + piece.bytes;
        let busy = self.busy.iter().map(|(piece, _)| piece).fold(0, of);
        if busy + bytes > MOST {
            return None;
        }
        if busy + self.free.iter().fold(0, of) + bytes > MOST {
            self.free.clear();
        }
        // SAFETY: memory that is freed when the piece is dropped.
        let start = unsafe { result::malloc_host(bytes, 0) }.ok()?;
        Some(Pinned { start, bytes })
    }
}
