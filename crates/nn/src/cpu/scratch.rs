//! Scratch memory that threads keep from one operation to the next, so that a block of the network
//! allocates nothing once the first one has run.

use std::cell::RefCell;

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers up to this length come in few sizes, so that any of them fits the next request of about its size.
const SMALL: usize = 1 << 20;

/// A buffer of at least `len` floats of unspecified content.
pub(super) fn take(len: usize) -> Vec<f32> {
    // A buffer much larger than asked for is left to those who need it.
    let most = if len <= SMALL { 4 * len.max(4096) } else { len + len / 2 };
    let kept = KEPT.with_borrow_mut(|kept| {
        let fits = |b: &Vec<f32>| (len..=most).contains(&b.len());
        let best = (0..kept.len()).filter(|&i| fits(&kept[i])).min_by_key(|&i| kept[i].len());
        best.map(|i| kept.swap_remove(i))
    });
    let size = if len <= SMALL { len.max(1024).next_power_of_two() } else { len };
    kept.unwrap_or_else(|| vec![0.0; size])
}

/// Keeps a buffer for later.
pub(super) fn keep(buffer: Vec<f32>) {
    if !buffer.is_empty() {
        // Nothing to keep it in when the thread is ending.
        let _ = KEPT.try_with(|kept| kept.borrow_mut().push(buffer));
    }
}

/// Lends `f` a buffer of `len` floats of unspecified content that this thread keeps for later.
pub fn scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = take(len);
    let result = f(&mut buffer[..len]);
    keep(buffer);
    result
}

/// Gives the scratch memory of all threads of the pool and of the caller back to the system.
pub fn release_scratch() {
    let clear = || KEPT.with_borrow_mut(|kept| *kept = Vec::new());
    clear();
    rayon::broadcast(|_| clear());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_scratch_does_not_overlap() {
        scratch(5, |a| {
            a.fill(1.0);
            scratch(7, |b| b.fill(2.0));
            assert!(a.iter().all(|&x| x == 1.0));
        });
    }

    #[test]
    fn buffers_are_used_again_but_not_for_much_less() {
        std::thread::spawn(|| {
            let large = 3 << 20;
            let first = scratch(large, |b| b.as_ptr() as usize);
            assert_eq!(scratch(large - 5, |b| b.as_ptr() as usize), first);
            assert_ne!(scratch(10, |b| b.as_ptr() as usize), first);
            let small = scratch(5000, |b| b.as_ptr() as usize);
            assert_eq!(scratch(6000, |b| b.as_ptr() as usize), small);
            release_scratch();
            assert!(KEPT.with_borrow(Vec::is_empty));
        })
        .join()
        .unwrap();
    }
}
