//! Scratch memory that threads keep from one operation to the next, so that a block of the network
//! allocates nothing once the first one has run.
//!
//! Each thread has a stack: what is lent last comes back first, also where a thread that waits for others
//! takes up their work. Its size is the most that was lent at a time, not a sum over operations.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::RefCell;

/// Bytes to which lent memory is aligned: a cache line, and a vector of AVX-512.
const LINE: usize = 64;
/// Bytes of the pages that the system is asked for, where a buffer is long enough.
const PAGE: usize = 2 << 20;

thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack { chunks: Vec::new(), used: 0, most: 0 }) };
    static PANELS: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Chunks that are lent from one end; only the last one has room.
struct Stack {
    chunks: Vec<Chunk>,
    /// Floats of the last chunk that are lent.
    used: usize,
    /// Most floats that were lent at a time.
    most: usize,
}

struct Chunk {
    memory: *mut f32,
    layout: Layout,
}

impl Chunk {
    fn new(len: usize) -> Self {
        let bytes = (len * size_of::<f32>()).max(LINE);
        let align = if bytes >= PAGE { PAGE } else { LINE };
        let layout = Layout::from_size_align(bytes, align).expect("a buffer of less than 2⁶³ bytes");
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(layout) };
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        large_pages(memory, bytes);
        // Floats of any content are valid, but memory must have been written once to be read.
        // SAFETY: as long as the layout.
        unsafe { memory.write_bytes(0, bytes) };
        Self { memory: memory.cast(), layout }
    }

    fn len(&self) -> usize {
        self.layout.size() / size_of::<f32>()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.memory.cast(), self.layout) };
    }
}

#[cfg(target_os = "linux")]
fn large_pages(memory: *mut u8, bytes: usize) {
    if bytes >= PAGE {
        // SAFETY: the range is ours; the advice changes no content, and may be refused.
        unsafe { libc::madvise(memory.cast(), bytes, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn large_pages(_: *mut u8, _: usize) {}

impl Stack {
    /// Lends `len` floats; gives them and what [`Stack::pop`] needs.
    fn push(&mut self, len: usize) -> (*mut f32, Mark) {
        let len = len.max(1).next_multiple_of(LINE / size_of::<f32>());
        let mark = Mark { chunks: self.chunks.len(), used: self.used };
        if self.chunks.last().map_or(0, Chunk::len) - self.used < len {
            if self.chunks.len() == 1 && self.used == 0 {
                self.chunks.clear();
            }
            let size = if self.chunks.is_empty() { len.max(self.most) } else { len };
            self.chunks.push(Chunk::new(size));
            self.used = 0;
        }
        let (last, full) = self.chunks.split_last().expect("there is one with room");
        // SAFETY: within the chunk.
        let memory = unsafe { last.memory.add(self.used) };
        self.used += len;
        self.most = self.most.max(full.iter().map(Chunk::len).sum::<usize>() + self.used);
        (memory, mark)
    }

    fn pop(&mut self, mark: Mark) {
        if mark.used > 0 {
            self.chunks.truncate(mark.chunks);
            self.used = mark.used;
            return;
        }
        self.used = 0;
        // All is back. What took several chunks will take one.
        if self.chunks.len() > 1 || self.chunks.last().is_some_and(|c| c.len() < self.most) {
            self.chunks.clear();
        }
    }
}

/// How far the stack was lent.
struct Mark {
    chunks: usize,
    used: usize,
}

/// Gives memory back when its user ends, by return or panic.
struct Lent(Option<Mark>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(mark) = self.0.take() {
            STACK.with_borrow_mut(|stack| stack.pop(mark));
        }
    }
}

/// Lends `f` a buffer of `len` floats of unspecified content that this thread keeps for later.
pub fn scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let (memory, mark) = STACK.with_borrow_mut(|stack| stack.push(len));
    let lent = Lent(Some(mark));
    // SAFETY: initialised floats that nobody else is lent until `lent` is dropped.
    let memory = unsafe { std::slice::from_raw_parts_mut(memory, len) };
    if cfg!(test) {
        memory.fill(f32::NAN); // so that tests notice what is read before it is written
    }
    let result = f(memory);
    drop(lent);
    result
}

/// Packed panels up to this many floats are kept for later.
const KEPT: usize = 1 << 20;

/// A buffer of at least `len` floats of unspecified content, for packed panels.
pub(super) fn take(len: usize) -> Vec<f32> {
    let kept = PANELS.with_borrow_mut(|kept| {
        let fits = |b: &Vec<f32>| b.len() >= len && b.len() <= 4 * len.max(4096);
        let best = (0..kept.len()).filter(|&i| fits(&kept[i])).min_by_key(|&i| kept[i].len());
        best.map(|i| kept.swap_remove(i))
    });
    let mut buffer =
        kept.unwrap_or_else(|| vec![0.0; if len <= KEPT { len.max(1024).next_power_of_two() } else { len }]);
    if cfg!(test) {
        buffer.fill(f32::NAN); // as in `scratch`
    }
    buffer
}

/// Keeps a buffer for later, if it is small.
pub(super) fn keep(buffer: Vec<f32>) {
    if (1..=KEPT).contains(&buffer.len()) {
        // Nothing to keep it in when the thread is ending.
        let _ = PANELS.try_with(|kept| kept.borrow_mut().push(buffer));
    }
}

/// Gives the scratch memory of the caller and of the pool's threads back to the system, but what is lent.
pub fn release_scratch() {
    let clear = || {
        STACK.with_borrow_mut(|stack| {
            if stack.used == 0 {
                stack.chunks.clear();
                stack.most = 0;
            }
        });
        PANELS.with_borrow_mut(Vec::clear);
    };
    clear();
    rayon::broadcast(|_| clear());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(b: &mut [f32]) -> usize {
        b.as_ptr() as usize
    }

    #[test]
    fn nested_scratch_does_not_overlap() {
        std::thread::spawn(|| {
            for _ in 0..3 {
                scratch(5, |a| {
                    a.fill(1.0);
                    // More than there is room for, then something after it.
                    scratch(70_000, |b| {
                        b.fill(2.0);
                        scratch(9, |c| c.fill(3.0));
                        assert!(b.iter().all(|&x| x == 2.0));
                    });
                    scratch(7, |b| b.fill(4.0));
                    assert!(a.iter().all(|&x| x == 1.0));
                });
            }
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_same_memory_is_lent_again() {
        std::thread::spawn(|| {
            let nested = || scratch(3 << 20, |a| (address(a), scratch(1000, address)));
            nested(); // two chunks, then one
            let first = nested();
            assert_eq!(nested(), first);
            assert_eq!(first.1 - first.0, (3 << 20) * 4);
            assert_eq!(scratch(10, address), first.0);
            let total = || STACK.with_borrow(|stack| stack.chunks.iter().map(Chunk::len).sum::<usize>());
            assert_eq!(total(), (3 << 20) + 1008);
            release_scratch();
            assert_eq!(total(), 0);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn nothing_may_be_lent() {
        std::thread::spawn(|| assert_eq!(scratch(0, |b| b.len()) + scratch(3, |b| b.len()), 3))
            .join()
            .unwrap();
    }

    #[test]
    fn a_panic_gives_memory_back() {
        std::thread::spawn(|| {
            let before = scratch(100, address);
            let _ = std::panic::catch_unwind(|| scratch(50, |_| panic!("on purpose")));
            assert_eq!(scratch(100, address), before);
        })
        .join()
        .unwrap();
    }
}
