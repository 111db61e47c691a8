//! Any bytes as `.safetensors`: an error or arrays, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::files::{Limits, safetensors};

fuzz_target!(|data: &[u8]| {
    let _ = safetensors::parse("fuzz.safetensors", &data.to_vec().into(), &Limits::default());
});
