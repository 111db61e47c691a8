#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = msa::a3m::parse("fuzz", data, &msa::Limits::default());
});
