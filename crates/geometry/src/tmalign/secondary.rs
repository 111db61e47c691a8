//! Secondary structure from distances between five consecutive Cα atoms.

use nalgebra::Vector3;

/// What the middle one of five residues belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Coil,
    Helix,
    Turn,
    Strand,
}

/// Kinds of both chains.
pub(super) fn of_both(x: &[Vector3<f64>], y: &[Vector3<f64>]) -> [Vec<Kind>; 2] {
    [of(x), of(y)]
}

fn of(ca: &[Vector3<f64>]) -> Vec<Kind> {
    let mut kinds = vec![Kind::Coil; ca.len()];
    for (i, five) in ca.windows(5).enumerate() {
        let d = |a: usize, b: usize| (five[a] - five[b]).norm();
        let near = |one_five: f64, three: f64, two: f64, slack: f64| {
            (d(0, 4) - one_five).abs() < slack
                && [d(0, 3), d(1, 4)].iter().all(|x| (x - three).abs() < slack)
                && [d(0, 2), d(1, 3), d(2, 4)].iter().all(|x| (x - two).abs() < slack)
        };
        kinds[i + 2] = if near(6.37, 5.18, 5.45, 2.1) {
            Kind::Helix
        } else if near(13.0, 10.4, 6.1, 1.42) {
            Kind::Strand
        } else if d(0, 4) < 8.0 {
            Kind::Turn
        } else {
            Kind::Coil
        };
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ideal_elements() {
        let helix: Vec<_> = (0..9)
            .map(|i| {
                let t = f64::from(i);
                Vector3::new(2.3 * (t * 1.745).cos(), 2.3 * (t * 1.745).sin(), 1.5 * t)
            })
            .collect();
        assert_eq!(of(&helix)[2..7], [Kind::Helix; 5]);
        assert_eq!(of(&helix)[..2], [Kind::Coil; 2]);
        let strand: Vec<_> =
            (0..8).map(|i| Vector3::new(f64::from(i % 2) * 1.7, 0.0, 3.3 * f64::from(i))).collect();
        assert_eq!(of(&strand)[2..6], [Kind::Strand; 4]);
        let knot: Vec<_> = (0..6).map(|i| Vector3::new(f64::from(i % 2), 0.0, 0.0)).collect();
        assert_eq!(of(&knot)[2..4], [Kind::Turn; 2]);
        assert_eq!(of(&knot[..3]), [Kind::Coil; 3]);
    }
}
