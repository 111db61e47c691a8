//! Parity with AlphaFold's parsers on whole files (tests/golden/msa.py).

use crate::{Limits, Msa, load_alignment};
use std::path::Path;

fn fnv(bytes: impl IntoIterator<Item = u8>) -> String {
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step))
}

fn line(name: &str, msa: &Msa) -> String {
    let rows = 0..msa.rows();
    let deletions = rows.clone().flat_map(|i| msa.deletion_row(i)).flat_map(u32::to_le_bytes);
    let descriptions = rows.flat_map(|i| format!("{}\n", msa.description(i)).into_bytes());
    let hashes = [fnv(msa.letters().iter().copied()), fnv(deletions), fnv(descriptions)];
    format!("{name}\t{}\t{}\t{}", msa.rows(), msa.columns(), hashes.join("\t"))
}

#[test]
fn alignments_are_read_as_alphafold_reads_them() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let golden = std::fs::read_to_string(root.join("tests/golden/msa/parsed.tsv")).unwrap();
    assert_eq!(golden.lines().count(), 5);
    for wanted in golden.lines() {
        let name = wanted.split('\t').next().unwrap();
        let (msa, _) = load_alignment(&root.join(name), &Limits::default()).unwrap();
        assert_eq!(line(name, &msa), wanted);
    }
}
