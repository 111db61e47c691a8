//! Deterministic damage: valid files with bytes changed, cut, doubled and spliced must never panic a
//! parser, and what it then returns must still be consistent.

use crate::{Limits, Msa, a3m, depth::depth, input, stockholm};
use damage::{Damage, Random};

const FASTA: &[u8] = b">a first\r\nMKVLaa\r\nGG*\r\n>b\nMX-UBZ\n\n>c|x/y\nACDEFGHIKLMNPQRSTVWY\n";
const A3M: &[u8] = b"#5\t1\n>q query\nMKVLA\n>b\nM-abVLA\n>c\n-Kv--A\n>ss_pred\nCCHHH\n>d\nMKVLA*\n";
const STOCKHOLM: &[u8] =
    b"# STOCKHOLM 1.0\n#=GS b DE x\nq   MK-V\nb   MKGV\nc.1 --.v\n\nq LA\nb L-\nc.1 -A\n//\n";

const DAMAGE: Damage = Damage { telling: b">#-.*\n\r\0\t /:aAxX1\xff\xefU", changes: 4, cut: 1 };

fn check(msa: &Msa) {
    assert!(msa.rows() > 0 && msa.columns() > 0);
    assert_eq!(msa.letters().len(), msa.rows() * msa.columns());
    assert!(msa.letters().iter().all(|b| b.is_ascii_uppercase() || *b == b'-'));
    assert!(!msa.query().contains(&b'-'));
    for row in 0..msa.rows() {
        let columns: Vec<u32> = msa.deletions(row).iter().map(|d| d.column).collect();
        assert!(columns.is_sorted_by(|a, b| a < b));
        assert!(columns.iter().all(|c| (*c as usize) < msa.columns()));
        assert!(msa.deletions(row).iter().all(|d| d.count > 0));
    }
    let depth = depth(msa);
    assert!(depth.neff >= 1.0 - 1e-9 && depth.neff <= msa.rows() as f64 + 1e-9);
}

#[test]
fn damaged_files_never_panic() {
    let limits =
        Limits { bytes: 1 << 16, records: 50, rows: 50, columns: 500, cells: 5000, ..Limits::default() };
    let mut random = Random::new(20_210_715);
    let (mut good, mut bad) = (0, 0);
    for round in 0..6000 {
        let (valid, name) =
            [(FASTA, "x.fasta"), (A3M, "x.a3m"), (STOCKHOLM, "x.sto"), (A3M, "standard input")][round % 4];
        let bytes = DAMAGE.of(valid, &mut random);
        for msa in [a3m::parse("x", &bytes, &limits), stockholm::parse("x", &bytes, &limits)] {
            match msa {
                Ok((msa, _)) => check(&msa),
                Err(error) => assert!(error.to_string().len() < 400, "{error}"),
            }
        }
        match input::parse(name, &bytes, &limits) {
            Ok(targets) => {
                good += 1;
                for target in &targets {
                    assert!(target.sequence.bytes().all(|b| b"ACDEFGHIKLMNPQRSTVWYX".contains(&b)));
                    assert!(!target.sequence.is_empty() && !target.name.is_empty());
                    if let Some(msa) = &target.msa {
                        check(msa);
                        assert_eq!(msa.columns(), target.sequence.len());
                    }
                }
            }
            Err(error) => {
                bad += 1;
                assert!(error.to_string().len() < 400, "{error}");
            }
        }
    }
    assert!(good > 500 && bad > 500, "{good} good, {bad} bad: the damage is too weak or too strong");
}
