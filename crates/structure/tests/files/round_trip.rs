//! What is written is read back: by our reader, and by pdbtbx.

use std::io::Cursor;

use structure::{Limits, PredictedChain, Prediction, Provenance, read, write_modelcif, write_pdb};

/// Prediction from an example chain's coordinates, on two chains.
fn example() -> Prediction {
    let bytes = include_bytes!("../../../../data/examples/4mo0_A.ref.pdb");
    let source = read(bytes, None, &Limits::default()).unwrap();
    let residues = &source.chains[0].residues;
    let cut = 31;
    let chain = |id: &str, part: &[structure::Residue]| PredictedChain {
        id: id.into(),
        aatype: part.iter().map(|r| r.aatype).collect(),
        numbers: part.iter().map(|r| r.number).collect(),
    };
    let chains = vec![chain("A", &residues[..cut]), chain("B", &residues[cut..])];
    let plddt = (0..residues.len()).map(|i| 30.0 + i as f32 * 0.75).collect();
    let positions = residues.iter().map(|r| r.positions).collect();
    let mask = residues.iter().map(|r| r.mask).collect();
    Prediction::new("odd 'name'\n", chains, positions, mask, plddt).unwrap()
}

fn provenance() -> Provenance {
    Provenance { software: "foldry".into(), version: "0.1.0".into(), ptm: Some(0.5), ..Provenance::default() }
}

#[test]
fn both_formats_give_the_same_chains_back() {
    let prediction = example();
    let source = include_bytes!("../../../../data/examples/4mo0_A.ref.pdb");
    let original = read(source, None, &Limits::default()).unwrap().chains.remove(0).residues;
    for text in [write_pdb(&prediction), write_modelcif(&prediction, &provenance())] {
        let structure = read(text.as_bytes(), None, &Limits::default()).unwrap();
        let ids: Vec<&str> = structure.chains.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["A", "B"]);
        let again: Vec<_> = structure.chains.into_iter().flat_map(|c| c.residues).collect();
        assert_eq!(again.len(), original.len());
        for (i, (a, b)) in again.iter().zip(&original).enumerate() {
            assert_eq!((a.aatype, a.number, a.mask, a.positions), (b.aatype, b.number, b.mask, b.positions));
            assert_eq!(a.b_factor[1], 30.0 + i as f32 * 0.75);
        }
    }
}

#[test]
fn pdbtbx_reads_both() {
    let prediction = example();
    let files = [
        (write_pdb(&prediction), pdbtbx::Format::Pdb),
        (write_modelcif(&prediction, &provenance()), pdbtbx::Format::Mmcif),
    ];
    for (text, format) in files {
        let mut options = pdbtbx::ReadOptions::new();
        options.set_format(format).set_level(pdbtbx::StrictnessLevel::Medium);
        let (pdb, _) = options.read_raw(std::io::BufReader::new(Cursor::new(text.as_bytes()))).unwrap();
        assert_eq!((pdb.chain_count(), pdb.residue_count(), pdb.atom_count()), (2, 79, 79 * 4));
    }
}
