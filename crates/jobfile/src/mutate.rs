//! Deterministic damage: valid files with bytes changed, cut, doubled and spliced must never panic the reader, and
//! what it then returns must still be consistent.

use crate::{Alignment, Limits, detect, read};
use damage::{Damage, Random};

/// The fuzz target's seeds, by the name they are read under.
const FILES: [(&str, &str); 6] = [
    ("x.json", include_str!("../../../tests/fuzz/seeds/jobfile/server.json")),
    ("x.json", include_str!("../../../tests/fuzz/seeds/jobfile/alphafold3.json")),
    ("x.json", include_str!("../../../tests/fuzz/seeds/jobfile/own.json")),
    ("x.yaml", include_str!("../../../tests/fuzz/seeds/jobfile/boltz.yaml")),
    ("x.csv", include_str!("../../../tests/fuzz/seeds/jobfile/colabfold.csv")),
    ("x.fasta", include_str!("../../../tests/fuzz/seeds/jobfile/colabfold.fasta")),
];

const DAMAGE: Damage =
    Damage { telling: b"{}[]\":,\\\n\r\0\t -&*#|>'!%@?~/1e-.\xff\xefau", changes: 2, cut: 4 };

#[test]
fn damaged_files_never_panic() {
    let limits = Limits { bytes: 1 << 16, entries: 20, chains: 12, residues: 100, seeds: 9 };
    let mut random = Random::new(20_240_508);
    let mut counts = [[0usize; 2]; FILES.len()];
    for round in 0..18_000 {
        let kind = round % FILES.len();
        let (name, valid) = FILES[kind];
        let bytes = DAMAGE.of(valid.as_bytes(), &mut random);
        match read(name, &bytes, &limits) {
            Ok(requests) => {
                counts[kind][0] += 1;
                assert!(!requests.is_empty() && requests.len() <= limits.entries);
                for request in requests {
                    let copies: usize = request.chains.iter().map(|c| c.ids.len()).sum();
                    assert!(copies <= limits.chains && request.seeds.len() <= limits.seeds);
                    for chain in &request.chains {
                        let bare = matches!(chain.alignment, Alignment::Text(_));
                        assert!(bare || !chain.sequence.is_empty());
                        assert!(chain.sequence.bytes().all(|b| b.is_ascii_uppercase()));
                    }
                    match request.monomer() {
                        Ok(monomer) => assert!(monomer.seeds.is_none_or(|seeds| seeds.count > 0)),
                        Err(error) => assert!(error.to_string().len() < 600, "{error}"),
                    }
                }
            }
            Err(error) => {
                counts[kind][1] += 1;
                assert!(error.to_string().len() < 800, "{error}");
                assert!(error.to_string().starts_with("x."), "{error}");
            }
        }
    }
    assert!(
        counts.iter().all(|c| c[0] > 100 && c[1] > 100),
        "{counts:?}: the damage is too weak or too strong"
    );
}

/// Cut at every byte, the file is still known for what it is, or refused.
#[test]
fn files_cut_short_end_in_errors() {
    for (name, valid) in &FILES[..3] {
        let whole = detect(name, valid.as_bytes());
        for end in (1..valid.trim_end().len()).filter(|&end| valid.is_char_boundary(end)) {
            let part = &valid.as_bytes()[..end];
            assert!(read(name, part, &Limits::default()).is_err(), "{name} {end}");
            assert!(
                detect(name, part).is_none_or(|d| Some(d) == whole || end < valid.len() / 2),
                "{name} {end}"
            );
        }
    }
}
