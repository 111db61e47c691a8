//! True χ angles. `all_atom.atom37_to_torsion_angles`, last four columns.

use super::frames::{rotation_from_points, sub};
use chem::chi::{CHI_ATOM37, CHI_MASK};

/// χ1–χ4; r residues.
#[derive(Debug, Clone, PartialEq)]
pub struct ChiTruth {
    /// [r] (sin, cos) of each angle; unit length where the mask is 1.
    pub sin_cos: Vec<[[f32; 2]; 4]>,
    /// [r] 1 = the residue has the angle and its four atoms are resolved.
    pub mask: Vec<[f32; 4]>,
}

impl ChiTruth {
    /// # Panics  if lengths differ or a residue type exceeds 20.
    pub(super) fn derive(aatype: &[u8], positions: &[[[f32; 3]; 37]], mask: &[[f32; 37]]) -> Self {
        let mut truth = Self { sin_cos: vec![], mask: vec![] };
        for (i, a) in aatype.iter().map(|a| usize::from(*a)).enumerate() {
            let resolved = |k: usize| CHI_ATOM37[a][k].iter().map(|atom| mask[i][*atom]).product::<f32>();
            truth.mask.push(std::array::from_fn(|k| CHI_MASK[a][k] * resolved(k)));
            truth.sin_cos.push(std::array::from_fn(|k| {
                torsion(CHI_ATOM37[a][k].map(|atom| positions[i][atom].map(f64::from)))
            }));
        }
        truth
    }
}

/// (sin, cos) of the torsion of four points: where the fourth lies, seen along the axis from the second to the
/// third, relative to the first. (0, 1) for points without a torsion.
fn torsion([p, q, s, t]: [[f64; 3]; 4]) -> [f32; 2] {
    let rot = rotation_from_points(q, s, p);
    let v = sub(t, s);
    let local: [f64; 3] = std::array::from_fn(|c| rot[0][c] * v[0] + rot[1][c] * v[1] + rot[2][c] * v[2]);
    let (sin, cos) = local[2].atan2(local[1]).sin_cos();
    [sin as f32, cos as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torsions_of_known_sign() {
        let [a, b, c] = [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
        for (end, expected) in [
            ([1.0, 0.0, 1.0], [0.0, 1.0]),
            ([-1.0, 0.0, 1.0], [0.0, -1.0]),
            // Looking down b→c, the fourth point turned clockwise: +90°.
            ([0.0, 1.0, 1.0], [1.0, 0.0]),
        ] {
            let got = torsion([a, b, c, end]);
            assert!((got[0] - expected[0]).abs() < 1e-6 && (got[1] - expected[1]).abs() < 1e-6, "{got:?}");
        }
    }
}
