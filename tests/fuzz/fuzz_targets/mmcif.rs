//! Any bytes as mmCIF: an error or chains, never a panic.
#![no_main]

use structure::{Format, Limits, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = Limits { atoms: 10_000, residues: 1_000, ..Limits::default() };
    if let Ok(found) = read(data, Some(Format::MmCif), &limits) {
        for chain in &found.chains {
            let _ = chain.full_sequence();
        }
    }
});
