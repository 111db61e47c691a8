//! Deterministic damage: valid files with bytes changed, cut, doubled and spliced must never panic the reader, and
//! what it then returns must still be consistent.

use crate::{Alignment, Limits, detect, read};

/// The fuzz target's seeds, by the name they are read under.
const FILES: [(&str, &str); 6] = [
    ("x.json", include_str!("../../../tests/fuzz/seeds/jobfile/server.json")),
    ("x.json", include_str!("../../../tests/fuzz/seeds/jobfile/alphafold3.json")),
    ("x.json", include_str!("../../../tests/fuzz/seeds/jobfile/own.json")),
    ("x.yaml", include_str!("../../../tests/fuzz/seeds/jobfile/boltz.yaml")),
    ("x.csv", include_str!("../../../tests/fuzz/seeds/jobfile/colabfold.csv")),
    ("x.fasta", include_str!("../../../tests/fuzz/seeds/jobfile/colabfold.fasta")),
];

/// xorshift64*; Marsaglia 2003, Vigna 2016.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

fn damage(valid: &[u8], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"{}[]\":,\\\n\r\0\t -&*#|>'!%@?~/1e-.\xff\xefau";
    let mut bytes = valid.to_vec();
    for _ in 0..=random.below(2) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if random.below(4) == 0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = TELLING[random.below(TELLING.len())],
            2 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            3 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
            4 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let piece = bytes[at..(at + random.below(30)).min(bytes.len())].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

#[test]
fn damaged_files_never_panic() {
    let limits = Limits { bytes: 1 << 16, entries: 20, chains: 12, residues: 100, seeds: 9 };
    let mut random = Random(20_240_508);
    let mut counts = [[0usize; 2]; FILES.len()];
    for round in 0..12_000 {
        let kind = round % FILES.len();
        let (name, valid) = FILES[kind];
        let bytes = damage(valid.as_bytes(), &mut random);
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
