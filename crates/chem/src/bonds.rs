//! Ideal bonds, angles and radii: what the violation losses hold a structure against.
//! Suppl. 1.9.11. Bond table: `data/tables/bonds.tsv` (Engh & Huber 2001); constants between residues and the
//! arithmetic of virtual bonds and bounds as in AlphaFold `residue_constants.py`, f64 rounded to f32 at the end.

use crate::atoms::{ATOM_TYPES, ATOM14_NAMES, atom14_order};
use crate::residue::aatype_of_name;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// Van der Waals radius of a heavy atom, Å, by the first letter of its name (C, N, O, S); else `None`.
pub const fn van_der_waals_radius(atom_name: &str) -> Option<f64> {
    match atom_name.as_bytes().first() {
        Some(b'C') => Some(1.7),
        Some(b'N') => Some(1.55),
        Some(b'O') => Some(1.52),
        Some(b'S') => Some(1.8),
        _ => None,
    }
}

/// Van der Waals radius of each atom37 atom, Å.
pub const ATOM37_RADIUS: [f32; 37] = {
    let mut table = [0.0; 37];
    let mut i = 0;
    while i < 37 {
        table[i] = match van_der_waals_radius(ATOM_TYPES[i]) {
            Some(r) => r as f32,
            None => panic!("every atom type is C, N, O or S"),
        };
        i += 1;
    }
    table
};

/// Distance between neighbouring Cα across a trans peptide bond, Å.
pub const CA_CA: f64 = 3.80209737096;
/// Mean C–N peptide bond, Å: before any residue, before proline.
pub const C_N_LENGTH: [f64; 2] = [1.329, 1.341];
/// Standard deviation of [`C_N_LENGTH`], Å.
pub const C_N_LENGTH_STDDEV: [f64; 2] = [0.014, 0.016];
/// Cosine of the angle C–N–Cα (121.352°): mean, standard deviation.
pub const COS_C_N_CA: [f64; 2] = [-0.5203, 0.0353];
/// Cosine of the angle Cα–C–N (116.568°): mean, standard deviation.
pub const COS_CA_C_N: [f64; 2] = [-0.4473, 0.0311];

/// A distance between two atoms of one residue: a bond, or the far side of a bond angle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bond {
    /// atom14 slots.
    pub atoms: [usize; 2],
    /// Mean, Å.
    pub length: f64,
    /// Standard deviation, Å.
    pub stddev: f64,
}

/// An angle between two bonds of one residue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Angle {
    /// atom14 slots; the vertex in the middle.
    pub atoms: [usize; 3],
    /// Mean, radians.
    pub angle: f64,
    /// Standard deviation, radians.
    pub stddev: f64,
}

/// What the table says about one residue type, in the table's order.
#[derive(Clone, Debug, Default)]
pub struct ResidueBonds {
    /// Chemical bonds.
    pub bonds: Vec<Bond>,
    /// Bond angles.
    pub angles: Vec<Angle>,
    /// The angles as distances between their outer atoms, errors propagated as if uncorrelated.
    pub virtual_bonds: Vec<Bond>,
}

/// Bonds and angles by `aatype`; the last entry (unknown) is empty.
pub static RESIDUE_BONDS: LazyLock<[ResidueBonds; 21]> =
    LazyLock::new(|| parse(include_str!("../../../data/tables/bonds.tsv")));

/// Reads the embedded table.
/// # Panics  if the table is damaged; it is compiled in, and the tests read all of it.
fn parse(text: &str) -> [ResidueBonds; 21] {
    let mut table: [ResidueBonds; 21] = std::array::from_fn(|_| ResidueBonds::default());
    let mut seen_header = false;
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        if !std::mem::replace(&mut seen_header, true) {
            continue;
        }
        let fields: Vec<&str> = line.split('\t').collect();
        let [residue, atoms, mean, stddev] = fields[..] else { panic!("bonds.tsv: four columns: {line}") };
        let aatype = aatype_of_name(residue).filter(|a| *a < 20).expect("bonds.tsv: residue name");
        let slots: Vec<usize> =
            atoms.split('-').map(|n| atom14_order(aatype, n).expect("bonds.tsv: atom name")).collect();
        let mean: f64 = mean.parse().expect("bonds.tsv: mean");
        let stddev: f64 = stddev.parse().expect("bonds.tsv: standard deviation");
        let entry = &mut table[usize::from(aatype)];
        match slots[..] {
            [i, j] => entry.bonds.push(Bond { atoms: [i, j], length: mean, stddev }),
            [i, j, k] => {
                let radians = |degrees: f64| degrees / 180.0 * PI;
                entry.angles.push(Angle { atoms: [i, j, k], angle: radians(mean), stddev: radians(stddev) });
            }
            _ => panic!("bonds.tsv: two or three atoms: {line}"),
        }
    }
    for entry in &mut table {
        entry.virtual_bonds = entry.angles.iter().map(|a| virtual_bond(&entry.bonds, a)).collect();
    }
    table
}

/// Law of cosines for the side opposite `angle`, and its standard deviation.
fn virtual_bond(bonds: &[Bond], angle: &Angle) -> Bond {
    let [i, j, k] = angle.atoms;
    let find = |p: usize, q: usize| {
        let bond = bonds.iter().rev().find(|b| b.atoms == [p, q] || b.atoms == [q, p]);
        *bond.expect("bonds.tsv: every angle is between two bonds")
    };
    let (b1, b2) = (find(i, j), find(j, k));
    let (sin, cos) = (angle.angle.sin(), angle.angle.cos());
    let length = (b1.length * b1.length + b2.length * b2.length - 2.0 * b1.length * b2.length * cos).sqrt();
    let outer = 0.5 / length;
    let by_angle = (2.0 * b1.length * b2.length * sin) * outer;
    let by_b1 = (2.0 * b1.length - 2.0 * b2.length * cos) * outer;
    let by_b2 = (2.0 * b2.length - 2.0 * b1.length * cos) * outer;
    let square = |x: f64| x * x;
    let variance = square(by_angle * angle.stddev) + square(by_b1 * b1.stddev) + square(by_b2 * b2.stddev);
    Bond { atoms: [i, k], length, stddev: variance.sqrt() }
}

/// Allowed distances between the atoms of one residue, by `aatype` and atom14 slots, Å.
#[derive(Clone, Debug)]
pub struct DistanceBounds {
    /// Shortest allowed; 0 where a slot is empty or both are the same.
    pub lower: Vec<[[f32; 14]; 14]>,
    /// Longest allowed; 1e10 where only clashes count, 0 where a slot is empty or both are the same.
    pub upper: Vec<[[f32; 14]; 14]>,
    /// Standard deviation of the bond or virtual bond; 0 elsewhere.
    pub stddev: Vec<[[f32; 14]; 14]>,
}

/// Bounds within each of the 21 residue types (`make_atom14_dists_bounds`).
/// Bonds and virtual bonds may stray by `bond_tolerance` standard deviations (AlphaFold: 15 as a default, 12 in
/// its loss); other atoms may overlap their van der Waals spheres by `overlap_tolerance` Å (1.5).
pub fn atom14_distance_bounds(overlap_tolerance: f64, bond_tolerance: f64) -> DistanceBounds {
    let zeros = || vec![[[0.0f32; 14]; 14]; 21];
    let mut bounds = DistanceBounds { lower: zeros(), upper: zeros(), stddev: zeros() };
    for a in 0..20 {
        for i in 0..14 {
            for j in 0..14 {
                let radius = |slot: usize| van_der_waals_radius(ATOM14_NAMES[a][slot]);
                if let (Some(ri), Some(rj), true) = (radius(i), radius(j), i != j) {
                    bounds.lower[a][i][j] = (ri + rj - overlap_tolerance) as f32;
                    bounds.upper[a][i][j] = 1e10;
                }
            }
        }
        let entry = &RESIDUE_BONDS[a];
        for bond in entry.bonds.iter().chain(&entry.virtual_bonds) {
            let slack = bond_tolerance * bond.stddev;
            let [p, q] = bond.atoms;
            for (i, j) in [(p, q), (q, p)] {
                bounds.lower[a][i][j] = (bond.length - slack) as f32;
                bounds.upper[a][i][j] = (bond.length + slack) as f32;
                bounds.stddev[a][i][j] = bond.stddev as f32;
            }
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_whole() {
        let bonds: usize = RESIDUE_BONDS.iter().map(|r| r.bonds.len()).sum();
        let angles: usize = RESIDUE_BONDS.iter().map(|r| r.angles.len()).sum();
        assert_eq!((bonds, angles), (153, 174));
        // A tree with n atoms has n-1 bonds; each ring adds one.
        let rings = [(8, 1), (13, 1), (14, 1), (17, 2), (18, 1)];
        for a in 0..20 {
            let atoms = ATOM14_NAMES[a].iter().filter(|n| !n.is_empty()).count();
            let extra = rings.iter().find(|r| r.0 == a).map_or(0, |r| r.1);
            assert_eq!(RESIDUE_BONDS[a].bonds.len(), atoms - 1 + extra, "residue type {a}");
        }
        assert!(RESIDUE_BONDS[20].bonds.is_empty());
    }

    #[test]
    fn virtual_bond_of_a_right_angle_is_a_hypotenuse() {
        let bonds = [
            Bond { atoms: [0, 1], length: 3.0, stddev: 0.1 },
            Bond { atoms: [2, 1], length: 4.0, stddev: 0.2 },
        ];
        let made = virtual_bond(&bonds, &Angle { atoms: [0, 1, 2], angle: PI / 2.0, stddev: 0.0 });
        assert!((made.length - 5.0).abs() < 1e-12);
        // d√(a²+b²) = (a·da + b·db)/c, errors added in squares.
        let expected = ((0.6f64 * 0.1).powi(2) + (0.8f64 * 0.2).powi(2)).sqrt();
        assert!((made.stddev - expected).abs() < 1e-12);
        assert_eq!(made.atoms, [0, 2]);
    }

    #[test]
    fn bounds_are_symmetric_and_ordered() {
        let b = atom14_distance_bounds(1.5, 15.0);
        for a in 0..21 {
            for i in 0..14 {
                for j in 0..14 {
                    assert_eq!(b.lower[a][i][j], b.lower[a][j][i]);
                    assert_eq!(b.upper[a][i][j], b.upper[a][j][i]);
                    let both = i != j && !ATOM14_NAMES[a][i].is_empty() && !ATOM14_NAMES[a][j].is_empty();
                    assert_eq!(b.upper[a][i][j] > b.lower[a][i][j], both);
                }
            }
        }
        // Alanine C–O: 1.229 ± 15 · 0.019.
        assert_eq!((b.lower[0][2][3], b.upper[0][2][3]), (0.944, 1.514));
        assert_eq!(b.lower[0][0][3], 1.57); // N and O only clash
        let tight = atom14_distance_bounds(1.5, 12.0);
        assert!(tight.lower[0][2][3] > b.lower[0][2][3]);
    }
}
