#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = msa::stockholm::parse("fuzz", data, &msa::Limits::default());
});
