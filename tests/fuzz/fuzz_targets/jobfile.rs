//! Any bytes as a job file of each dialect: an error or requests, never a panic.
#![no_main]

use jobfile::{Limits, detect, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let limits = Limits { bytes: 1 << 16, entries: 50, chains: 20, residues: 500, seeds: 20 };
    // The name decides where the content does not.
    for name in ["fuzz.json", "fuzz.yaml", "fuzz.csv"] {
        match read(name, data, &limits) {
            Ok(requests) => {
                assert!(detect(name, data).is_some() && requests.len() <= limits.entries);
                for request in requests {
                    assert!(request.chains.iter().all(|chain| chain.sequence.len() <= limits.residues));
                    if let Ok(monomer) = request.monomer() {
                        assert!(monomer.sequence.bytes().all(|b| b.is_ascii_uppercase()));
                    }
                }
            }
            Err(error) => assert!(error.to_string().len() < 3000),
        }
    }
});
