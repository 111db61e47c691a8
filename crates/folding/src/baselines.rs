//! What scores mean: chains built without a network, to be scored like predictions.

use crate::Known;
use crate::random::Random;
use chem::atoms::{C, CA, N};
use std::f64::consts::PI;

/// Bond lengths N–Cα, Cα–C, C–N (Å) and angles at Cα, C, N (radians). Engh & Huber (2001).
const LENGTHS: [f64; 3] = [1.459, 1.525, 1.336];
const ANGLES: [f64; 3] = [1.937, 2.046, 2.124];

/// (φ, ψ) in radians of an ideal α-helix and β-strand.
const HELIX: [f64; 2] = [-1.047, -0.820];
const STRAND: [f64; 2] = [-2.094, 2.269];

/// Cα positions `[r]`, Å, of a chain with these (φ, ψ); ω = π.
pub fn from_torsions(torsions: &[[f64; 2]]) -> Vec<[f32; 3]> {
    let mut atoms: Vec<[f64; 3]> = vec![[0.0, 0.0, 0.0], [LENGTHS[0], 0.0, 0.0]];
    let (sin, cos) = ANGLES[0].sin_cos();
    atoms.push([LENGTHS[0] - LENGTHS[1] * cos, LENGTHS[1] * sin, 0.0]);
    for i in 1..torsions.len() {
        // N by ψ of the residue before, Cα by ω, C by φ.
        place(&mut atoms, LENGTHS[2], ANGLES[1], torsions[i - 1][1]);
        place(&mut atoms, LENGTHS[0], ANGLES[2], PI);
        place(&mut atoms, LENGTHS[1], ANGLES[0], torsions[i][0]);
    }
    atoms.chunks_exact(3).take(torsions.len()).map(|residue| residue[1].map(|x| x as f32)).collect()
}

/// Adds an atom at `length` of the last, `angle` with the two last, `torsion` with the three last.
fn place(atoms: &mut Vec<[f64; 3]>, length: f64, angle: f64, torsion: f64) {
    let n = atoms.len();
    let (a, b, c) = (atoms[n - 3], atoms[n - 2], atoms[n - 1]);
    let x = unit(sub(c, b));
    let z = unit(cross(sub(b, a), x));
    let y = cross(z, x);
    let along =
        [-length * angle.cos(), length * angle.sin() * torsion.cos(), length * angle.sin() * torsion.sin()];
    atoms.push(std::array::from_fn(|k| c[k] + along[0] * x[k] + along[1] * y[k] + along[2] * z[k]));
}

/// The chain with its true secondary structure and nothing else: residues whose (φ, ψ) lie in the helical region
/// take the ideal helix's, all others the ideal strand's.
pub fn secondary_structure(truth: &Known) -> Vec<[f32; 3]> {
    let torsions: Vec<[f64; 2]> = (0..truth.len())
        .map(|i| {
            let Some([phi, psi]) = phi_psi(truth, i) else { return STRAND };
            let helical = (-2.6..-0.5).contains(&phi) && (-1.6..0.5).contains(&psi);
            if helical { HELIX } else { STRAND }
        })
        .collect();
    from_torsions(&torsions)
}

/// A chain of random (φ, ψ): helix or strand with a chance of one half each, drawn anew for each residue.
pub fn random(residues: usize, seed: u64) -> Vec<[f32; 3]> {
    let mut random = Random(seed);
    let torsions: Vec<[f64; 2]> =
        (0..residues).map(|_| if random.next() >> 63 == 0 { HELIX } else { STRAND }).collect();
    from_torsions(&torsions)
}

/// (φ, ψ) of residue `i`, radians, if all five atoms are there and the bonds to both neighbours.
fn phi_psi(chain: &Known, i: usize) -> Option<[f64; 2]> {
    let atom = |i: usize, a: usize| chain.mask[i][a].then(|| chain.positions[i][a].map(f64::from));
    let (before, after) = (i.checked_sub(1)?, i + 1);
    let follows = |a: usize, b: usize| chain.residue_index[b] == chain.residue_index[a] + 1;
    if after >= chain.len() || !follows(before, i) || !follows(i, after) {
        return None;
    }
    let (n, ca, c) = (atom(i, N)?, atom(i, CA)?, atom(i, C)?);
    Some([dihedral(atom(before, C)?, n, ca, c), dihedral(n, ca, c, atom(after, N)?)])
}

fn dihedral(a: [f64; 3], b: [f64; 3], c: [f64; 3], d: [f64; 3]) -> f64 {
    let (u, v, w) = (sub(b, a), sub(c, b), sub(d, c));
    let (left, right) = (cross(u, v), cross(v, w));
    let y = dot(cross(left, right), unit(v));
    y.atan2(dot(left, right))
}

fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| a[k] - b[k])
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|k| a[k] * b[k]).sum()
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: [f64; 3]) -> [f64; 3] {
    let norm = dot(a, a).sqrt().max(1e-12);
    a.map(|x| x / norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accuracy::accuracy;

    fn distance(p: [f32; 3], q: [f32; 3]) -> f32 {
        (0..3).map(|k| (p[k] - q[k]).powi(2)).sum::<f32>().sqrt()
    }

    #[test]
    fn ideal_geometry_of_helix_and_strand() {
        let helix = from_torsions(&[HELIX; 24]);
        let strand = from_torsions(&[STRAND; 24]);
        for chain in [&helix, &strand] {
            assert!(chain.windows(2).all(|w| (distance(w[0], w[1]) - 3.8).abs() < 0.05));
        }
        // An α-helix rises 1.5 Å a residue, a strand about 3.3 Å.
        let rise = |chain: &[[f32; 3]]| distance(chain[1], chain[19]) / 18.0;
        assert!((rise(&helix) - 1.5).abs() < 0.1, "{}", rise(&helix));
        assert!((rise(&strand) - 3.35).abs() < 0.2, "{}", rise(&strand));
    }

    #[test]
    fn a_helix_is_rebuilt_from_its_own_torsions() {
        let mut chain = crate::truth::testing::helix("MKVLAWGDERTYPSFNHQICMKVL", 1);
        // Its atoms from ideal torsions, so that φ and ψ are the helix's.
        let mut atoms: Vec<[f64; 3]> = vec![[0.0; 3], [LENGTHS[0], 0.0, 0.0]];
        let (sin, cos) = ANGLES[0].sin_cos();
        atoms.push([LENGTHS[0] - LENGTHS[1] * cos, LENGTHS[1] * sin, 0.0]);
        for _ in 1..chain.len() {
            place(&mut atoms, LENGTHS[2], ANGLES[1], HELIX[1]);
            place(&mut atoms, LENGTHS[0], ANGLES[2], PI);
            place(&mut atoms, LENGTHS[1], ANGLES[0], HELIX[0]);
        }
        for (i, residue) in atoms.chunks_exact(3).enumerate() {
            for (k, atom) in [N, CA, C].into_iter().enumerate() {
                chain.positions[i][atom] = residue[k].map(|x| x as f32);
            }
        }
        let [phi, psi] = phi_psi(&chain, 5).unwrap();
        assert!((phi - HELIX[0]).abs() < 1e-3 && (psi - HELIX[1]).abs() < 1e-3, "{phi} {psi}");
        let built = accuracy(&secondary_structure(&chain), &chain).unwrap();
        assert!(built.lddt_ca > 0.9, "{built:?}");
        assert!(accuracy(&random(chain.len(), 3), &chain).unwrap().lddt_ca < built.lddt_ca);
    }
}
