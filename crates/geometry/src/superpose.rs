//! Optimal superposition of paired points (Kabsch's problem, solved by Horn's quaternion), and RMSD.

use crate::rigid::Rigid;
use nalgebra::{Matrix3, Vector3};

/// The rigid motion of `mobile` that brings it closest, in least squares, to `target`, pair by pair.
/// With fewer than three points, or points on a line, one of the many optima. No points: identity.
/// # Panics  if the numbers of points differ.
pub fn superpose(mobile: &[Vector3<f64>], target: &[Vector3<f64>]) -> Rigid {
    assert_eq!(mobile.len(), target.len(), "superpose: {} points on {}", mobile.len(), target.len());
    let mut sums = PairSums::default();
    for (x, y) in mobile.iter().zip(target) {
        sums.add(x, y);
    }
    sums.superposition()
}

/// Root mean square distance of pairs as they stand, Å. NaN for no pairs.
/// # Panics  if the numbers of points differ.
pub fn rmsd(a: &[Vector3<f64>], b: &[Vector3<f64>]) -> f64 {
    assert_eq!(a.len(), b.len(), "rmsd: {} points and {}", a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(x, y)| (x - y).norm_squared()).sum();
    (sum / a.len() as f64).sqrt()
}

/// RMSD after optimal superposition, Å. NaN for no pairs.
/// # Panics  if the numbers of points differ.
pub fn superposed_rmsd(mobile: &[Vector3<f64>], target: &[Vector3<f64>]) -> f64 {
    let motion = superpose(mobile, target);
    let moved: Vec<_> = mobile.iter().map(|x| motion.apply(*x)).collect();
    rmsd(&moved, target)
}

/// Sums over pairs that determine their superposition; searches add pairs without copying points.
#[derive(Default, Clone)]
pub(crate) struct PairSums {
    pairs: usize,
    mobile: Vector3<f64>,
    target: Vector3<f64>,
    products: Matrix3<f64>,
}

impl PairSums {
    #[inline]
    pub(crate) fn add(&mut self, mobile: &Vector3<f64>, target: &Vector3<f64>) {
        self.pairs += 1;
        self.mobile += mobile;
        self.target += target;
        self.products += mobile * target.transpose();
    }

    /// As [`superpose`].
    pub(crate) fn superposition(&self) -> Rigid {
        if self.pairs == 0 {
            return Rigid::identity();
        }
        let n = self.pairs as f64;
        let s = self.products - self.mobile * self.target.transpose() / n;
        let rotation = rotation_of(&s);
        let translation = self.target / n - rotation * (self.mobile / n);
        Rigid { rotation, translation }
    }
}

/// The rotation R that maximises tr(R S), S = Σ x yᵀ of centred pairs: the top eigenvector, as a quaternion, of
/// Horn's symmetric 4×4 matrix (J. Opt. Soc. Am. A 4, 629, 1987).
fn rotation_of(s: &Matrix3<f64>) -> Matrix3<f64> {
    let (xx, xy, xz) = (s[(0, 0)], s[(0, 1)], s[(0, 2)]);
    let (yx, yy, yz) = (s[(1, 0)], s[(1, 1)], s[(1, 2)]);
    let (zx, zy, zz) = (s[(2, 0)], s[(2, 1)], s[(2, 2)]);
    let [w, x, y, z] = top_eigenvector([
        [xx + yy + zz, yz - zy, zx - xz, xy - yx],
        [yz - zy, xx - yy - zz, xy + yx, zx + xz],
        [zx - xz, xy + yx, yy - xx - zz, yz + zy],
        [xy - yx, zx + xz, yz + zy, zz - xx - yy],
    ]);
    Matrix3::new(
        w * w + x * x - y * y - z * z,
        2.0 * (x * y - w * z),
        2.0 * (x * z + w * y),
        2.0 * (x * y + w * z),
        w * w - x * x + y * y - z * z,
        2.0 * (y * z - w * x),
        2.0 * (x * z - w * y),
        2.0 * (y * z + w * x),
        w * w - x * x - y * y + z * z,
    )
}

/// Unit eigenvector of the largest eigenvalue of a symmetric 4×4 matrix, by Jacobi rotations.
fn top_eigenvector(mut m: [[f64; 4]; 4]) -> [f64; 4] {
    let mut v = [[0.0; 4]; 4]; // rows become eigenvectors
    for i in 0..4 {
        v[i][i] = 1.0;
    }
    let scale: f64 = m.iter().flatten().map(|x| x * x).sum();
    for _sweep in 0..30 {
        let off: f64 = (0..4).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| m[i][j] * m[i][j]).sum();
        if off <= scale * 1e-32 {
            break;
        }
        for p in 0..3 {
            for q in p + 1..4 {
                if m[p][q] == 0.0 {
                    continue;
                }
                let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..4 {
                    let (a, b) = (m[k][p], m[k][q]);
                    m[k][p] = c * a - s * b;
                    m[k][q] = s * a + c * b;
                }
                for k in 0..4 {
                    let (a, b) = (m[p][k], m[q][k]);
                    m[p][k] = c * a - s * b;
                    m[q][k] = s * a + c * b;
                    let (a, b) = (v[p][k], v[q][k]);
                    v[p][k] = c * a - s * b;
                    v[q][k] = s * a + c * b;
                }
            }
        }
    }
    let top = (1..4).fold(0, |best, i| if m[i][i] > m[best][best] { i } else { best });
    v[top]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> Vec<Vector3<f64>> {
        (0..7)
            .map(|i| {
                let t = f64::from(i);
                Vector3::new((1.7 * t).sin() * 5.0, (0.9 * t).cos() * 4.0, t * 1.1 - 2.0)
            })
            .collect()
    }

    fn motion() -> Rigid {
        let p = |x, y, z| Vector3::new(x, y, z);
        Rigid::from_three_points(p(0.1, -2.0, 0.3), p(30.0, 4.0, -9.0), p(1.0, 1.0, 7.0)).unwrap()
    }

    #[test]
    fn finds_a_known_motion() {
        let x = points();
        let y: Vec<_> = x.iter().map(|p| motion().apply(*p)).collect();
        let found = superpose(&x, &y);
        assert!((found.rotation - motion().rotation).norm() < 1e-12);
        assert!((found.translation - motion().translation).norm() < 1e-11);
        assert!(superposed_rmsd(&x, &y) < 1e-12);
    }

    #[test]
    fn mirror_images_are_not_reached() {
        let x = points();
        let y: Vec<_> = x.iter().map(|p| Vector3::new(-p.x, p.y, p.z)).collect();
        let found = superpose(&x, &y);
        assert!((found.rotation.determinant() - 1.0).abs() < 1e-12);
        assert!(superposed_rmsd(&x, &y) > 0.5);
    }

    #[test]
    fn no_nearby_motion_is_better() {
        let x = points();
        let y: Vec<_> =
            x.iter().enumerate().map(|(i, p)| p + Vector3::new(0.5, -0.2, 0.1) * i as f64).collect();
        let best = superpose(&x, &y);
        let cost = |m: &Rigid| x.iter().zip(&y).map(|(a, b)| (m.apply(*a) - b).norm_squared()).sum::<f64>();
        for axis in 0..3 {
            for step in [-1e-3, 1e-3] {
                let mut turn = Vector3::zeros();
                turn[axis] = step;
                let rotation = nalgebra::Rotation3::new(turn).into_inner();
                let about = best.translation + best.rotation * x.iter().sum::<Vector3<f64>>() / 7.0;
                let nudge = Rigid { rotation, translation: about - rotation * about };
                assert!(cost(&nudge.compose(&best)) > cost(&best));
                let shift = Rigid { rotation: Matrix3::identity(), translation: turn };
                assert!(cost(&shift.compose(&best)) > cost(&best));
            }
        }
    }

    #[test]
    fn few_points() {
        assert_eq!(superpose(&[], &[]), Rigid::identity());
        let (a, b) = (Vector3::new(1.0, 2.0, 3.0), Vector3::new(-4.0, 0.0, 1.0));
        assert!((superpose(&[a], &[b]).apply(a) - b).norm() < 1e-12);
        assert!(superposed_rmsd(&[a, b], &[b, a]) < 1e-12);
        assert!(rmsd(&[], &[]).is_nan());
    }
}
