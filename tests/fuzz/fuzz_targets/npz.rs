//! Any bytes as an `.npz`: an error or arrays, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::files::{Limits, npz};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let _ = npz::parse("fuzz.npz", &data.to_vec().into(), &limits);
});
