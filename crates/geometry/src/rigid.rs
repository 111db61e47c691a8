//! Rigid motions of space: a rotation, then a translation. f64.

use nalgebra::{Matrix3, Vector3};

/// x ↦ R x + t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rigid {
    /// R, a proper rotation.
    pub rotation: Matrix3<f64>,
    /// t, Å.
    pub translation: Vector3<f64>,
}

impl Rigid {
    /// Moves nothing.
    pub fn identity() -> Self {
        Rigid { rotation: Matrix3::identity(), translation: Vector3::zeros() }
    }

    /// Frame of three points (Suppl. Alg. 21): `origin` at zero, `neg_x` on the negative x axis, `in_xy` in the
    /// xy plane on the side of positive y; maps frame coordinates to the points' space. `None` if the points
    /// lie on a line to within rounding.
    pub fn from_three_points(neg_x: Vector3<f64>, origin: Vector3<f64>, in_xy: Vector3<f64>) -> Option<Self> {
        let x = (origin - neg_x).try_normalize(0.0)?;
        let side = in_xy - origin;
        let across = side - x * x.dot(&side);
        if across.norm() <= 1e-9 * side.norm() {
            return None;
        }
        let y = across.normalize();
        let z = x.cross(&y);
        Some(Rigid { rotation: Matrix3::from_columns(&[x, y, z]), translation: origin })
    }

    /// R x + t.
    #[inline]
    pub fn apply(&self, x: Vector3<f64>) -> Vector3<f64> {
        self.rotation * x + self.translation
    }

    /// The motion that undoes this one.
    pub fn inverse(&self) -> Self {
        let rotation = self.rotation.transpose();
        Rigid { rotation, translation: -(rotation * self.translation) }
    }

    /// `self` after `first`.
    pub fn compose(&self, first: &Rigid) -> Self {
        Rigid { rotation: self.rotation * first.rotation, translation: self.apply(first.translation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Rigid {
        let p = |x, y, z| Vector3::new(x, y, z);
        Rigid::from_three_points(p(1.0, 0.2, -0.7), p(2.0, 1.5, 0.3), p(2.5, -1.0, 4.0)).unwrap()
    }

    #[test]
    fn frame_puts_the_points_where_it_says() {
        let p = |x, y, z| Vector3::new(x, y, z);
        let (a, b, c) = (p(1.0, 0.2, -0.7), p(2.0, 1.5, 0.3), p(2.5, -1.0, 4.0));
        let into = sample().inverse();
        assert!(into.apply(b).norm() < 1e-12);
        let (on_x, on_xy) = (into.apply(a), into.apply(c));
        assert!(on_x.x < 0.0 && on_x.yz().norm() < 1e-12);
        assert!(on_xy.y > 0.0 && on_xy.z.abs() < 1e-12);
        assert!((sample().rotation.determinant() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn inverse_and_composition() {
        let f = sample();
        let g = Rigid { translation: Vector3::new(-4.0, 0.5, 9.0), ..f.inverse() };
        let x = Vector3::new(0.3, -7.0, 2.2);
        assert!((f.inverse().apply(f.apply(x)) - x).norm() < 1e-12);
        assert!((f.compose(&g).apply(x) - f.apply(g.apply(x))).norm() < 1e-12);
        assert_ne!(f.compose(&g), g.compose(&f));
    }

    #[test]
    fn points_on_a_line_have_no_frame() {
        let v = Vector3::new(1.0, 2.0, -1.0);
        assert!(Rigid::from_three_points(v, 2.0 * v, 5.0 * v).is_none());
        assert!(Rigid::from_three_points(v, v, Vector3::zeros()).is_none());
    }
}
