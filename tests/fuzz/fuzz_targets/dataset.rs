//! Any bytes as a dataset, and as the record of a chain behind its checksum: an error or chains, never a panic.
#![no_main]

use dataset::{Dataset, Kind, record};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(set) = Dataset::from_bytes("fuzz.foldset", data.to_vec()) {
        for i in 0..set.len() {
            let _ = set.chain(i);
        }
    }
    // Length, alignment rows and kind as an index would say; checksums would stop most of what fuzzing makes.
    if let [low, high, depth, kind, bytes @ ..] = data {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let kind = Kind::ALL[usize::from(kind & 1)];
        if let Ok(chain) = record::decode(bytes, length, usize::from(*depth), kind) {
            // What was read can be written, and is then read as the same.
            let again = record::encode("fuzz", &chain).expect("a chain that was read");
            let back = record::decode(&again, length, usize::from(*depth), chain.kind()).expect("what was written");
            assert_eq!(back.positions, chain.positions);
        }
    }
});
