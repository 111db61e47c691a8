//! GDT_TS and GDT_HA: how many residues some superposition brings within a few cutoffs.
//! Zemla, Nucleic Acids Res. 31, 3370 (2003). Each cutoff has its own best superposition, sought from all seeds
//! of the TM-score search and from its own cutoff, so values are at least those of `TMscore`'s narrower search.

use crate::tmscore::{d0, explore};
use nalgebra::Vector3;

/// Cutoffs, Å; GDT_TS averages the last four, GDT_HA the first four.
const CUTOFFS: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];

/// Shares of a reference that a model reaches, 0–1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gdt {
    /// Total score: mean over 1, 2, 4, 8 Å.
    pub ts: f64,
    /// High accuracy: mean over 0.5, 1, 2, 4 Å.
    pub ha: f64,
}

/// GDT of paired Cα atoms, normalised by `length` (of the whole reference).
/// # Panics  if the numbers of points differ, or a coordinate is not finite.
pub fn gdt(model: &[Vector3<f64>], reference: &[Vector3<f64>], length: usize) -> Gdt {
    let mut most = [0usize; 5];
    let mut count = |squared: &[f64]| {
        for (best, cutoff) in most.iter_mut().zip(CUTOFFS) {
            *best = (*best).max(squared.iter().filter(|d| **d <= cutoff * cutoff).count());
        }
    };
    let around = d0(length).clamp(4.5, 8.0);
    explore(model, reference, around - 1.0, around + 1.0, 1, |_, squared| count(squared));
    let stride = model.len() / 100 + 1;
    for cutoff in CUTOFFS {
        explore(model, reference, cutoff, cutoff, stride, |_, squared| count(squared));
    }
    let share = |from: usize| most[from..from + 4].iter().sum::<usize>() as f64 / (4 * length.max(1)) as f64;
    Gdt { ts: share(1), ha: share(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let y: Vec<_> = (0..20)
            .map(|i| {
                let t = f64::from(i);
                Vector3::new((0.9 * t).cos() * 6.0, (0.7 * t).sin() * 9.0, 2.0 * t)
            })
            .collect();
        let whole = gdt(&y, &y, 25);
        assert!((whole.ts - 0.8).abs() < 1e-12 && (whole.ha - 0.8).abs() < 1e-12);
        // Ten residues stay, ten go far away in different directions.
        let mut x = y.clone();
        for k in 10..20 {
            x[k] += Vector3::new(60.0 * (k as f64).cos(), 60.0 * (k as f64).sin(), 35.0 * (k % 3) as f64);
        }
        let half = gdt(&x, &y, 20);
        assert!((half.ha - 0.5).abs() < 0.02 && half.ts < 0.6, "{half:?}");
        assert_eq!(gdt(&[], &[], 7), Gdt { ts: 0.0, ha: 0.0 });
    }
}
