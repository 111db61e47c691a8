//! Deterministic damage: valid files with bytes changed, cut, doubled and spliced never panic a reader,
//! and what it then returns is still consistent.

use damage::{Damage, Random};
use structure::{Format, Limits, Structure, read};

const MMCIF: &[u8] = include_bytes!("mixed.cif");
const PDB: &[u8] = b"HEADER    TEST                                    24-JUL-84   9XYZ\n\
EXPDTA    X-RAY DIFFRACTION\nREVDAT   1   24-JUL-84 9XYZ    0\nREMARK   2 RESOLUTION.    1.85 ANGSTROMS.\n\
MODRES 9XYZ ODD A    3  LYS\nSEQRES   1 A    5  GLY MSE ODD TRP VAL\nMODEL        1\n\
HETATM    1  N   MSE A   2       1.000   2.000   3.000  1.00 11.00           N\n\
HETATM    2 SE   MSE A   2       1.500   2.500   3.500  1.00 12.00          SE\n\
HETATM    3  CA  ODD A   3       4.000   5.000   6.000  1.00 13.00           C\n\
ATOM  A0000  CA ATRP A   4A     10.000  11.000  12.000  0.40 14.00           C\n\
ATOM  A0001  CA BTRP A   4A     10.500  11.500  12.500  0.60 14.00           C\n\
TER   A0002      TRP A   4A\n\
HETATM    6  O   HOH A 401      33.000  34.000  35.000  1.00 21.00           O\n\
ATOM      7  CA  GLY BA000      -1.000  -2.000  -3.000  1.00 18.00           C\nENDMDL\nEND\n";

const DAMAGE: Damage = Damage { telling: b"'\";_#.?-+()*eE09aZ \t\r\n\0\xff\xc3", changes: 5, cut: 3 };

fn check(structure: &Structure, limits: &Limits) {
    assert!(!structure.chains.is_empty() && structure.chains.len() <= limits.residues);
    for chain in &structure.chains {
        assert!(!chain.residues.is_empty());
        for residue in &chain.residues {
            assert!(residue.aatype <= 20 && residue.mask.contains(&true));
            for (xyz, there) in residue.positions.iter().zip(residue.mask) {
                assert!(xyz.iter().all(|c| c.is_finite()) && (there || *xyz == [0.0; 3]));
            }
            assert!(residue.b_factor.iter().chain(&residue.occupancy).all(|v| v.is_finite()));
        }
        let full = chain.full_sequence();
        let placed = full.iter().filter(|p| p.residue.is_some()).count();
        assert!(placed > 0 && placed <= chain.residues.len() && full.len() <= limits.residues);
    }
    for note in &structure.notes {
        assert!(note.len() < 400, "{note}");
    }
}

#[test]
fn damaged_files_never_panic() {
    let limits = Limits { bytes: 1 << 16, atoms: 60, residues: 40, line: 300 };
    let mut random = Random::new(19_840_724);
    for (valid, format) in [(PDB, Format::Pdb), (MMCIF, Format::MmCif)] {
        read(valid, None, &limits).unwrap();
        let (mut good, mut bad) = (0, 0);
        for round in 0..5000 {
            let bytes = DAMAGE.of(valid, &mut random);
            match read(&bytes, (round % 2 == 0).then_some(format), &limits) {
                Ok(structure) => {
                    good += 1;
                    check(&structure, &limits);
                }
                Err(error) => {
                    bad += 1;
                    let lines = bytes.split(|&b| b == b'\n' || b == b'\r').count();
                    assert!(error.place().is_none_or(|p| (1..=lines + 1).contains(&p.line)), "{error}");
                    assert!(error.to_string().len() < 400, "{error}");
                }
            }
        }
        assert!(good > 500 && bad > 500, "{format:?}: {good} good, {bad} bad");
    }
}

#[test]
fn every_beginning_of_a_file_is_handled() {
    for (valid, format) in [(PDB, Format::Pdb), (MMCIF, Format::MmCif)] {
        let read_to = |end: usize| read(&valid[..end], Some(format), &Limits::default()).is_ok();
        let readable = (0..=valid.len()).filter(|&end| read_to(end)).count();
        assert!(readable > 20 && readable < valid.len(), "{format:?}: {readable}");
    }
}
