//! What the program's allocator does with freed memory.

/// mimalloc's `mi_option_purge_delay`, which its bindings have no name for.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Makes mimalloc, where it is the allocator, keep the memory of freed tensors for the next ones. By default it hands them
/// back to the system after a moment, which clears every page before it lends it again; a training step frees and takes the same
/// tensors over and over. The process then holds the most it ever needed at a time.
pub fn keep_freed_memory() {
    // SAFETY: a number in a table of settings that the allocator reads; −1 is "never".
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay() {
        // SAFETY: reads a setting. Ten milliseconds or so, or what the environment says: no switch, and no other's number.
        let before = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert!(before > 1 || std::env::var_os("MIMALLOC_PURGE_DELAY").is_some(), "{before}");
        keep_freed_memory();
        // SAFETY: as above.
        assert_eq!(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }, -1);
    }
}
