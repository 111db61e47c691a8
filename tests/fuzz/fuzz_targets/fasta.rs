#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = msa::parse("fuzz.fasta", data, &msa::Limits::default());
});
