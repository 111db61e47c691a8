//! TM-score of paired points, and the search over superpositions behind it and behind GDT.
//! Zhang & Skolnick, Proteins 57, 702 (2004).

use crate::rigid::Rigid;
use crate::superpose::PairSums;
use nalgebra::Vector3;

type Points<'a> = &'a [Vector3<f64>];

/// Distance scale d0 of a reference of that length, Å, as programs report scores with: at least 0.5.
pub fn d0(length: usize) -> f64 {
    if length > 21 { (1.24 * (length as f64 - 15.0).cbrt() - 1.8).max(0.5) } else { 0.5 }
}

/// TM-score of a model whose points are paired with the reference's, normalised by `length` (of the whole
/// reference), and the motion of the model that gives it. No pairs: 0.
/// # Panics  if the numbers of points differ, or a coordinate is not finite.
pub fn tm_score(model: Points<'_>, reference: Points<'_>, length: usize) -> (f64, Rigid) {
    let best = search(model, reference, d0(length), f64::INFINITY, 1);
    (best.sum / length.max(1) as f64, best.motion)
}

/// Best superposition found.
pub(crate) struct Best {
    /// Σ 1/(1 + (d/d0)²) over pairs within the far cutoff.
    pub sum: f64,
    /// The motion of the first points that gives it.
    pub motion: Rigid,
}

/// Maximises Σ 1/(1 + (d/d0)²) over pairs closer than `far`. `stride` is how far apart seeds begin.
pub(crate) fn search(x: Points<'_>, y: Points<'_>, d0: f64, far: f64, stride: usize) -> Best {
    let around = d0.clamp(4.5, 8.0);
    let mut best = Best { sum: -1.0, motion: Rigid::identity() };
    explore(x, y, around - 1.0, around + 1.0, stride, |motion, squared| {
        let sum: f64 = squared.iter().filter(|d| **d <= far * far).map(|d| 1.0 / (1.0 + d / (d0 * d0))).sum();
        if sum > best.sum {
            best = Best { sum, motion: *motion };
        }
    });
    best.sum = best.sum.max(0.0);
    best
}

/// Visits superpositions: each seed, a run of n, n/2, n/4, … 4 pairs, is superposed, then up to 20 times all
/// pairs within a cutoff, until they stay the same. `visit` gets the motion and all squared distances.
/// Pairs within `first` follow the seed, within `extend` each later step.
pub(crate) fn explore(
    x: Points<'_>,
    y: Points<'_>,
    first: f64,
    extend: f64,
    stride: usize,
    mut visit: impl FnMut(&Rigid, &[f64]),
) {
    let n = x.len();
    assert_eq!(n, y.len(), "explore: {n} points on {}", y.len());
    if n == 0 {
        return;
    }
    let mut squared = vec![0.0; n];
    let (mut chosen, mut next) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let mut place = |pairs: &[usize], squared: &mut [f64]| {
        let mut sums = PairSums::default();
        for k in pairs {
            sums.add(&x[*k], &y[*k]);
        }
        let motion = sums.superposition();
        for k in 0..n {
            squared[k] = (motion.apply(x[k]) - y[k]).norm_squared();
        }
        visit(&motion, squared);
    };
    for length in seed_lengths(n) {
        let last = n - length;
        let mut start = 0;
        loop {
            chosen.clear();
            chosen.extend(start..start + length);
            place(&chosen, &mut squared);
            select(&squared, first, &mut chosen);
            for _step in 0..20 {
                place(&chosen, &mut squared);
                select(&squared, extend, &mut next);
                let settled = next == chosen;
                std::mem::swap(&mut next, &mut chosen);
                if settled {
                    break;
                }
            }
            if start >= last {
                break;
            }
            start = (start + stride).min(last);
        }
    }
}

/// n, n/2, … n/16, ending with 4 (or n if smaller).
fn seed_lengths(n: usize) -> Vec<usize> {
    let least = n.min(4);
    let mut lengths: Vec<usize> = (0..5).map(|i| n >> i).take_while(|l| *l > least).collect();
    lengths.push(least);
    lengths
}

/// Pairs closer than `cutoff`; with fewer than three among more than three, the cutoff grows by halves of an Å.
fn select(squared: &[f64], cutoff: f64, into: &mut Vec<usize>) {
    let mut within = cutoff;
    let count = squared.iter().filter(|d| **d < within * within).count();
    if count < 3 && squared.len() > 3 {
        // Third smallest distance says how many steps are needed, however far the points are.
        let mut least = [f64::INFINITY; 3];
        for d in squared {
            if *d < least[2] {
                least[2] = *d;
                least.sort_by(f64::total_cmp);
            }
        }
        assert!(least[2].is_finite(), "select: a coordinate is not finite");
        let steps = ((least[2].sqrt() - cutoff) / 0.5 - 1.0).floor().max(1.0);
        within = cutoff + 0.5 * steps;
        while least[2] >= within * within {
            within = (within + 0.5).max(within * (1.0 + 1e-12));
        }
    }
    into.clear();
    into.extend((0..squared.len()).filter(|k| squared[*k] < within * within));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spiral(n: usize) -> Vec<Vector3<f64>> {
        (0..n)
            .map(|i| {
                let t = i as f64;
                Vector3::new((1.7 * t).cos() * 2.3, (1.7 * t).sin() * 2.3, 1.5 * t)
            })
            .collect()
    }

    #[test]
    fn scales() {
        assert_eq!((d0(21), d0(5)), (0.5, 0.5));
        assert!((d0(140) - (1.24 * 5.0 - 1.8)).abs() < 1e-12);
    }

    #[test]
    fn moved_copy_scores_its_share() {
        let y = spiral(40);
        let p = |x, y, z| Vector3::new(x, y, z);
        let motion = Rigid::from_three_points(p(5.0, 1.0, 0.0), p(0.0, -8.0, 2.0), p(1.0, 1.0, 1.0)).unwrap();
        let x: Vec<_> = y[..30].iter().map(|v| motion.apply(*v)).collect();
        let (score, found) = tm_score(&x, &y[..30], 40);
        assert!((score - 0.75).abs() < 1e-9);
        assert!((found.apply(x[3]) - y[3]).norm() < 1e-9);
        assert_eq!(tm_score(&[], &[], 40).0, 0.0);
    }

    #[test]
    fn a_core_is_found_beside_a_swung_tail() {
        let y = spiral(50);
        let mut x = y.clone();
        for k in 30..50 {
            x[k] += Vector3::new(0.0, 40.0, 9.0);
        }
        let (score, _) = tm_score(&x, &y, 50);
        assert!(score > 0.6 && score < 0.62, "{score}");
    }

    #[test]
    fn seeds_and_far_points() {
        assert_eq!(seed_lengths(100), [100, 50, 25, 12, 6, 4]);
        assert_eq!(seed_lengths(17), [17, 8, 4]);
        assert_eq!(seed_lengths(3), [3]);
        let mut pairs = Vec::new();
        select(&[1e10, 4e10, 9e10, 1e12], 3.5, &mut pairs);
        assert_eq!(pairs, [0, 1, 2]);
        select(&[100.0, 121.0, 12.6, 1e4], 3.5, &mut pairs);
        assert_eq!(pairs, [0, 1, 2]);
    }
}
