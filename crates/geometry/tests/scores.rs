//! Scores against TM-align and biotite: tests/golden/scores.tsv, made by tests/golden/scores.py.

use geometry::lddt::{AtomPair, lddt};
use geometry::tmalign::{Trace, tm_align};
use nalgebra::Vector3;
use std::path::Path;

struct Atom {
    name: String,
    residue: i32,
    at: [f64; 3],
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn read(name: &str) -> Vec<Atom> {
    let path = root().join(format!("data/examples/{name}.ref.pdb"));
    let text = std::fs::read_to_string(path).unwrap();
    let atoms = text.lines().filter(|l| l.starts_with("ATOM"));
    let number = |l: &str, from: usize, to: usize| l[from..to].trim().parse::<f64>().unwrap();
    atoms
        .map(|l| Atom {
            name: l[12..16].trim().into(),
            residue: number(l, 22, 26) as i32,
            at: [number(l, 30, 38), number(l, 38, 46), number(l, 46, 54)],
        })
        .collect()
}

/// The generator of scores.py.
fn disturb(atoms: &mut [Atom], sigma: f64, seed: u32) {
    let mut state = seed;
    for c in atoms.iter_mut().flat_map(|a| &mut a.at) {
        let mut total = 0.0;
        for _ in 0..12 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            total += f64::from(state) / 4_294_967_296.0;
        }
        *c = ((*c + sigma * (total - 6.0)) * 1000.0).round() / 1000.0;
    }
}

fn trace(atoms: &[Atom]) -> (Vec<Vector3<f64>>, Vec<i32>) {
    atoms.iter().filter(|a| a.name == "CA").map(|a| (Vector3::from(a.at), a.residue)).unzip()
}

#[test]
fn as_tm_align_and_biotite() {
    let table = std::fs::read_to_string(root().join("tests/golden/scores.tsv")).unwrap();
    let names = ["1jos_A", "2ayd_A", "4mo0_A", "5pal_A"];
    let mut rows = 0;
    for row in table.lines().skip(1) {
        let f: Vec<&str> = row.split('\t').collect();
        let sigma: f64 = f[2].parse().unwrap();
        let (mut model, reference) = (read(f[0]), read(f[1]));
        if f[0] == f[1] {
            let k = names.iter().position(|n| *n == f[0]).unwrap() as u32;
            disturb(&mut model, sigma, 1000 * k + (10.0 * sigma) as u32);
            let pairs: Vec<AtomPair> = model
                .iter()
                .zip(&reference)
                .map(|(m, r)| AtomPair { residue: r.residue as usize, model: Some(m.at), reference: r.at })
                .collect();
            let is_ca = |p: &(&AtomPair, &Atom)| p.1.name == "CA";
            let ca: Vec<AtomPair> = pairs.iter().zip(&reference).filter(is_ca).map(|p| *p.0).collect();
            for (atoms, expected) in [(&pairs, f[4]), (&ca, f[5])] {
                let found = lddt(atoms).unwrap();
                assert!((found - expected.parse::<f64>().unwrap()).abs() < 1e-3, "{row}: lddt {found}");
            }
        }
        let ((x, nx), (y, ny)) = (trace(&model), trace(&reference));
        let found = tm_align(Trace { ca: &x, numbers: &nx }, Trace { ca: &y, numbers: &ny }).unwrap();
        let expected: f64 = f[3].parse().unwrap();
        assert!((found.tm_by_reference - expected).abs() < 1e-3, "{row}: {}", found.tm_by_reference);
        rows += 1;
    }
    assert_eq!(rows, 4 * 8 + 12);
}
