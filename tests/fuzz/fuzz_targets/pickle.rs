//! Any bytes as the pickle of a checkpoint with one storage: an error or arrays, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::files::{Limits, torch};
use std::io::{Cursor, Write};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

fuzz_target!(|data: &[u8]| {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in [("a/data.pkl", data), ("a/data/0", &[0; 24][..])] {
        archive.start_file(name, stored).expect("memory takes it");
        archive.write_all(content).expect("memory takes it");
    }
    let bytes = archive.finish().expect("memory takes it").into_inner();
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let _ = torch::parse("fuzz.pt", &bytes.into(), &limits);
});
