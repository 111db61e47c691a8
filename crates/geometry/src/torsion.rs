//! Torsion angles: of four points, and the seven of each residue as AlphaFold's features hold them.
//! Suppl. 1.8.4 and 1.7.1; `all_atom.atom37_to_torsion_angles` in AlphaFold, in f32 and, as far as rounding can be
//! seen in the result, operation by operation as XLA compiles it (docs/numerics.md).

use chem::atoms::{C, CA, N, O};
use chem::chi::{CHI_ATOM37, CHI_MASK, CHI_PI_PERIODIC};
use nalgebra::Vector3;

/// Torsion angle about b–c, radians in (-π, π], IUPAC sign. 0 if three of the points lie on a line.
pub fn dihedral(a: Vector3<f64>, b: Vector3<f64>, c: Vector3<f64>, d: Vector3<f64>) -> f64 {
    let axis = c - b;
    let (m, n) = ((b - a).cross(&axis), axis.cross(&(d - c)));
    f64::atan2(m.cross(&n).dot(&axis), m.dot(&n) * axis.norm())
}

/// What stands in the place of an angle whose atoms are not all there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undefined {
    /// Whatever the given coordinates yield, missing atoms (and the residue before the first) at the origin:
    /// AlphaFold's `placeholder_for_undefined = false`, its default. Where points coincide the values are rounding
    /// noise, the same noise as AlphaFold's.
    Noise,
    /// (sin, cos) = (1, 0): `placeholder_for_undefined = true`, which AlphaFold sets to `not zero_init`.
    Placeholder,
}

/// The torsion angles of r residues: pre-ω, φ, ψ, χ1–χ4.
#[derive(Debug, Clone, PartialEq)]
pub struct Torsions {
    /// [r][7][sin, cos]. ψ is measured to O and turned by π, so that it is the usual ψ to the next N.
    pub sin_cos: Vec<[[f32; 2]; 7]>,
    /// As `sin_cos`, angles that repeat every π (chem's `CHI_PI_PERIODIC`) turned by π.
    pub alt_sin_cos: Vec<[[f32; 2]; 7]>,
    /// [r][7], 1 where the angle's four atoms are there.
    pub mask: Vec<[f32; 7]>,
}

/// Torsion angles of one chain; the residue before in the slice counts as the neighbour, whatever its number.
/// - `aatype`    [r], above 20 counts as 20
/// - `positions` [r][37][xyz], Å
/// - `mask`      [r][37], 1 = present
/// # Panics  if the lengths differ.
pub fn atom37_torsions(
    aatype: &[u8],
    positions: &[[[f32; 3]; 37]],
    mask: &[[f32; 37]],
    undefined: Undefined,
) -> Torsions {
    let r = aatype.len();
    assert_eq!(positions.len(), r, "atom37_torsions: positions must be [{r}][37][3]");
    assert_eq!(mask.len(), r, "atom37_torsions: mask must be [{r}][37]");
    let mut out = Torsions {
        sin_cos: Vec::with_capacity(r),
        alt_sin_cos: Vec::with_capacity(r),
        mask: Vec::with_capacity(r),
    };
    let (nowhere, absent) = ([[0.0; 3]; 37], [0.0; 37]);
    for i in 0..r {
        let kind = usize::from(aatype[i].min(20));
        let (x, m) = (&positions[i], &mask[i]);
        let (before, m_before) = if i == 0 { (&nowhere, &absent) } else { (&positions[i - 1], &mask[i - 1]) };
        let chi = &CHI_ATOM37[kind];
        let atoms: [[[f32; 3]; 4]; 7] = [
            [before[CA], before[C], x[N], x[CA]],
            [before[C], x[N], x[CA], x[C]],
            [x[N], x[CA], x[C], x[O]],
            chi[0].map(|a| x[a]),
            chi[1].map(|a| x[a]),
            chi[2].map(|a| x[a]),
            chi[3].map(|a| x[a]),
        ];
        let chi_there = |k: usize| CHI_MASK[kind][k] * chi[k].iter().map(|a| m[*a]).product::<f32>();
        let there = [
            m_before[CA] * m_before[C] * (m[N] * m[CA]),
            m_before[C] * (m[N] * m[CA] * m[C]),
            m[N] * m[CA] * m[C] * m[O],
            chi_there(0),
            chi_there(1),
            chi_there(2),
            chi_there(3),
        ];
        let mut angles = atoms.map(sin_cos);
        angles[2] = angles[2].map(|v| -v);
        let mut alternative = angles;
        for k in 0..4 {
            let sign = 1.0 - 2.0 * CHI_PI_PERIODIC[kind][k];
            alternative[3 + k] = angles[3 + k].map(|v| v * sign);
        }
        if undefined == Undefined::Placeholder {
            for k in 0..7 {
                let fill = |[sin, cos]: [f32; 2]| [sin * there[k] + (1.0 - there[k]), cos * there[k]];
                angles[k] = fill(angles[k]);
                alternative[k] = fill(alternative[k]);
            }
        }
        out.sin_cos.push(angles);
        out.alt_sin_cos.push(alternative);
        out.mask.push(there);
    }
    out
}

/// Sine and cosine of the torsion about the second and third of four atoms, from the fourth's place in the frame
/// of the first three. Norms carry AlphaFold's 1e-8 under the root; all atoms in one place give (0, 0).
///
/// Where atoms coincide, `y` and `z` are what rounding left, and 1e-8 is too little to hide it. So multiply-adds are
/// fused where compiled AlphaFold fuses them, on every machine; only the last root and division may differ in the
/// last bit, which nothing amplifies.
fn sin_cos([a, b, c, d]: [[f32; 3]; 4]) -> [f32; 2] {
    let e0 = normalize(sub(c, b));
    let side = sub(a, c);
    // There each component has a kernel of its own, which repeats this product; x's begins with x.
    let along = [[0, 1, 2], Y_FIRST, Y_FIRST].map(|order| dot(side, e0, order));
    let e1 = normalize(std::array::from_fn(|i| (-along[i]).mul_add(e0[i], side[i])));
    let cross = |i: usize, j: usize| e0[i].mul_add(e1[j], -(e0[j] * e1[i]));
    let e2 = [cross(1, 2), cross(2, 0), cross(0, 1)];
    // The frame is inverted first and applied then, as there: far from the origin the rounding differs.
    let along = |e: [f32; 3]| dot(e, d, Y_FIRST) - dot(e, c, Y_FIRST);
    let (y, z) = (along(e1), along(e2));
    let norm = (z.mul_add(z, y * y) + 1e-8).sqrt();
    [z / norm, y / norm]
}

fn sub(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// The order of most sums over x, y and z: LLVM folds the first of two products into the second's sum.
const Y_FIRST: [usize; 3] = [1, 0, 2];

/// The first product is rounded, the others are added to it fused.
fn dot(a: [f32; 3], b: [f32; 3], [first, second, third]: [usize; 3]) -> f32 {
    a[third].mul_add(b[third], a[second].mul_add(b[second], a[first] * b[first]))
}

fn normalize(v: [f32; 3]) -> [f32; 3] {
    let norm = (dot(v, v, Y_FIRST) + 1e-8).sqrt();
    [v[0] / norm, v[1] / norm, v[2] / norm]
}

#[cfg(test)]
mod tests {
    use super::*;
    use chem::atoms::atom_order;
    use std::f64::consts::PI;

    fn v(x: f64, y: f64, z: f64) -> Vector3<f64> {
        Vector3::new(x, y, z)
    }

    #[test]
    fn dihedral_signs() {
        let (a, b, c) = (v(0.0, 1.0, 0.0), v(0.0, 0.0, 0.0), v(2.0, 0.0, 0.0));
        for angle in [-2.5, -0.4, 0.0, 1.1, PI] {
            // Looking along b→c, a clockwise turn is positive.
            let d = v(3.0, f64::cos(angle), f64::sin(angle));
            assert!((dihedral(a, b, c, d) - angle).abs() < 1e-12, "{angle}");
        }
        assert_eq!(dihedral(b, b, c, a), 0.0);
    }

    /// Residues with atoms at odd places; lysine, then aspartate, then unknown.
    fn chain() -> (Vec<u8>, Vec<[[f32; 3]; 37]>, Vec<[f32; 37]>) {
        let aatype = vec![11, 3, 20];
        let mut state = 0.37f32;
        let mut next = || {
            state = (state * 997.0 + 0.123).fract();
            10.0 * state
        };
        let positions = (0..3).map(|_| std::array::from_fn(|_| [next(), next(), next()])).collect();
        let mask = aatype.iter().map(|a| chem::atoms::STANDARD_ATOM_MASK[usize::from(*a)]).collect();
        (aatype, positions, mask)
    }

    #[test]
    fn angles_are_the_dihedrals() {
        let (aatype, positions, mask) = chain();
        let t = atom37_torsions(&aatype, &positions, &mask, Undefined::Noise);
        let at = |i: usize, name: &str| {
            let [x, y, z] = positions[i][atom_order(name).unwrap()].map(f64::from);
            v(x, y, z)
        };
        let expect = |i: usize, k: usize, angle: f64| {
            let [sin, cos] = t.sin_cos[i][k].map(f64::from);
            assert!((sin - angle.sin()).abs() < 2e-5 && (cos - angle.cos()).abs() < 2e-5, "{i} {k}");
            assert_eq!(t.mask[i][k], 1.0, "{i} {k}");
        };
        expect(1, 0, dihedral(at(0, "CA"), at(0, "C"), at(1, "N"), at(1, "CA")));
        expect(1, 1, dihedral(at(0, "C"), at(1, "N"), at(1, "CA"), at(1, "C")));
        expect(1, 2, dihedral(at(1, "N"), at(1, "CA"), at(1, "C"), at(1, "O")) + PI);
        expect(0, 6, dihedral(at(0, "CG"), at(0, "CD"), at(0, "CE"), at(0, "NZ")));
        expect(1, 4, dihedral(at(1, "CA"), at(1, "CB"), at(1, "CG"), at(1, "OD1")));
        assert_eq!(t.alt_sin_cos[1][4], t.sin_cos[1][4].map(|x| -x));
        assert_eq!(t.alt_sin_cos[0], t.sin_cos[0]);
        assert_eq!(t.mask[0], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(t.mask[2], [0.0; 7]);
    }

    #[test]
    fn placeholder_fills_exactly_the_undefined() {
        let (aatype, positions, mut mask) = chain();
        mask[1][atom_order("CG").unwrap()] = 0.0;
        let noise = atom37_torsions(&aatype, &positions, &mask, Undefined::Noise);
        let filled = atom37_torsions(&aatype, &positions, &mask, Undefined::Placeholder);
        assert_eq!(noise.mask, filled.mask);
        assert_eq!(noise.mask[1], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        for i in 0..3 {
            for k in 0..7 {
                let there = noise.mask[i][k] == 1.0;
                let expected = if there { noise.sin_cos[i][k] } else { [1.0, 0.0] };
                assert_eq!(filled.sin_cos[i][k], expected);
                let expected = if there { noise.alt_sin_cos[i][k] } else { [1.0, 0.0] };
                assert_eq!(filled.alt_sin_cos[i][k], expected);
            }
        }
        // Undefined χ of a known residue: four times the same atom.
        assert_eq!(noise.sin_cos[1][6], [0.0, 0.0]);
    }
}
