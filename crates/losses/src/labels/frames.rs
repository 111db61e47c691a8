//! True frames of the eight rigid groups. Suppl. Alg. 21 and Table 2; `all_atom.atom37_to_frames`.

use chem::ambiguity::RIGID_GROUP_IS_AMBIGUOUS;
use chem::rigid::{RIGID_GROUP_BASE_ATOM37, RIGID_GROUP_MASK};

/// Rotation (row-major; columns are the axes) and origin, Å: x ↦ rot · x + trans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rigid {
    /// Orthonormal.
    pub rot: [[f32; 3]; 3],
    /// Origin, Å.
    pub trans: [f32; 3],
}

/// Frames of backbone, pre-ω, φ, ψ, χ1–χ4; r residues.
#[derive(Debug, Clone, PartialEq)]
pub struct FrameTruth {
    /// [r] frames; group 0 is the backbone frame.
    pub frames: Vec<[Rigid; 8]>,
    /// [r] 1 = the residue has the group and its three defining atoms are resolved.
    pub exists: Vec<[f32; 8]>,
    /// [r] frames after trading ambiguous names: the last χ group turned by π around x.
    pub alt_frames: Vec<[Rigid; 8]>,
}

impl FrameTruth {
    /// # Panics  if lengths differ or a residue type exceeds 20.
    pub(super) fn derive(aatype: &[u8], positions: &[[[f32; 3]; 37]], mask: &[[f32; 37]]) -> Self {
        let mut truth = Self { frames: vec![], exists: vec![], alt_frames: vec![] };
        for (i, a) in aatype.iter().map(|a| usize::from(*a)).enumerate() {
            let base = &RIGID_GROUP_BASE_ATOM37[a];
            let group: [Rigid; 8] = std::array::from_fn(|g| {
                let [p, q, s] = base[g].map(|atom| positions[i][atom].map(f64::from));
                let rot = rotation_from_points(p, q, s);
                // The backbone frame looks the other way: x and z are mirrored.
                let sign = if g == 0 { [-1.0, 1.0, -1.0] } else { [1.0; 3] };
                Rigid { rot: columns(rot, sign), trans: positions[i][base[g][1]] }
            });
            let resolved = |g: usize| base[g].iter().map(|atom| mask[i][*atom]).fold(1.0, f32::min);
            truth.exists.push(std::array::from_fn(|g| RIGID_GROUP_MASK[a][g] * resolved(g)));
            truth.alt_frames.push(std::array::from_fn(|g| {
                let sign = if RIGID_GROUP_IS_AMBIGUOUS[a][g] == 1.0 { [1.0, -1.0, -1.0] } else { [1.0; 3] };
                Rigid { rot: columns(group[g].rot.map(|row| row.map(f64::from)), sign), ..group[g] }
            }));
            truth.frames.push(group);
        }
        truth
    }
}

/// Multiplies the columns of a rotation by `sign`.
fn columns(rot: [[f64; 3]; 3], sign: [f64; 3]) -> [[f32; 3]; 3] {
    rot.map(|row| std::array::from_fn(|c| (row[c] * sign[c]) as f32))
}

/// Gram–Schmidt from a point on the negative x axis, the origin and a point in the xy plane.
/// ε = 1e-8 inside each norm, as in `r3.vecs_robust_normalize`: coinciding points give zeros, not NaN.
pub(super) fn rotation_from_points(
    negative_x: [f64; 3],
    origin: [f64; 3],
    in_plane: [f64; 3],
) -> [[f64; 3]; 3] {
    let x = normalize(sub(origin, negative_x));
    let v = sub(in_plane, origin);
    let along = dot(v, x);
    let y = normalize([v[0] - along * x[0], v[1] - along * x[1], v[2] - along * x[2]]);
    let z = [x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]];
    std::array::from_fn(|i| [x[i], y[i], z[i]])
}

pub(super) fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn normalize(v: [f64; 3]) -> [f64; 3] {
    let norm = (dot(v, v) + 1e-8).sqrt();
    v.map(|x| x / norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backbone_frame_has_c_on_x_and_n_in_the_plane() {
        let mut positions = [[0.0f32; 3]; 37];
        positions[0] = [-0.5, 1.4, 0.0]; // N
        positions[2] = [1.5, 0.0, 0.0]; // C; Cα at the origin
        let mut mask = [0.0; 37];
        mask[..3].fill(1.0);
        let truth = FrameTruth::derive(&[0], &[positions], &[mask]);
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        for (row, expected) in truth.frames[0][0].rot.iter().zip(identity) {
            for (x, e) in row.iter().zip(expected) {
                assert!((x - e).abs() < 1e-6, "{row:?}");
            }
        }
        assert_eq!(truth.exists[0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "O is missing: no psi");
        assert_eq!(truth.alt_frames[0], truth.frames[0], "alanine is not ambiguous");
    }
}
