//! How close a prediction is: lDDT-Cα, TM-score, dRMSD. Residues correspond by their place in the chain.

use crate::{Error, Known, Result};
use geometry::lddt::{AtomPair, lddt};
use geometry::tmscore::tm_score;
use nalgebra::Vector3;

/// Scores of one prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// lDDT over Cα, 0–1.
    pub lddt_ca: f64,
    /// TM-score with residues paired as they are, normalised by the resolved residues.
    pub tm_score: f64,
    /// Root mean square difference of all Cα–Cα distances, Å.
    pub drmsd: f64,
}

/// Scores predicted Cα positions `[r]`, Å, against the chain's resolved ones.
///
/// # Errors  [`Error::Chain`] if numbers of residues differ, a coordinate is not finite, or no distance counts.
pub fn accuracy(predicted: &[[f32; 3]], truth: &Known) -> Result<Accuracy> {
    let fail = |what: String| Error::Chain { id: truth.id.clone(), what };
    if predicted.len() != truth.len() {
        return Err(fail(format!("expected {} predicted residues, got {}", truth.len(), predicted.len())));
    }
    if predicted.iter().flatten().any(|x| !x.is_finite()) {
        return Err(fail("expected finite predicted coordinates".into()));
    }
    let pairs: Vec<(usize, [f64; 3], [f64; 3])> = truth
        .alpha()
        .iter()
        .enumerate()
        .filter_map(|(i, t)| t.map(|t| (i, predicted[i].map(f64::from), t.map(f64::from))))
        .collect();
    let atoms: Vec<AtomPair> = pairs
        .iter()
        .map(|&(residue, model, reference)| AtomPair { residue, model: Some(model), reference })
        .collect();
    let lddt_ca = lddt(&atoms).ok_or_else(|| fail("expected distances within 15 Å, found none".into()))?;
    let (model, reference): (Vec<_>, Vec<_>) =
        pairs.iter().map(|&(_, m, r)| (Vector3::from(m), Vector3::from(r))).unzip();
    let mut squares = 0.0;
    let n = model.len();
    for i in 0..n {
        for j in 0..i {
            squares += ((model[i] - model[j]).norm() - (reference[i] - reference[j]).norm()).powi(2);
        }
    }
    Ok(Accuracy {
        lddt_ca,
        tm_score: tm_score(&model, &reference, n).0,
        drmsd: (squares / (n * (n - 1) / 2).max(1) as f64).sqrt(),
    })
}

/// Rank correlation of two lists (Spearman), with mean ranks for ties; `None` below 3 pairs or without variance.
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.len() != y.len() || x.len() < 3 {
        return None;
    }
    let (x, y) = (ranks(x), ranks(y));
    let mean = (x.len() - 1) as f64 / 2.0;
    let sum = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let spread = (sum(&x, &x) * sum(&y, &y)).sqrt();
    (spread > 0.0).then(|| sum(&x, &y) / spread)
}

/// Ranks from 0; equal values share the mean of theirs.
fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut ranks = vec![0.0; x.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && x[order[end]] == x[order[start]] {
            end += 1;
        }
        for &i in &order[start..end] {
            ranks[i] = (start + end - 1) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

/// Median; `None` of nothing.
pub fn median(x: &[f64]) -> Option<f64> {
    let mut x = x.to_vec();
    x.sort_by(f64::total_cmp);
    let n = x.len();
    (n > 0).then(|| (x[(n - 1) / 2] + x[n / 2]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::testing::helix;

    #[test]
    fn a_moved_copy_is_perfect_and_a_stretched_one_is_not() {
        let chain = helix("MKVLAWGDERTYPSFNHQICMKVLAWGD", 1);
        let alpha: Vec<[f32; 3]> = chain.alpha().iter().map(|a| a.unwrap()).collect();
        let moved: Vec<[f32; 3]> = alpha.iter().map(|p| [-p[1] + 9.0, p[0] - 2.0, p[2] + 1.0]).collect();
        let same = accuracy(&moved, &chain).unwrap();
        assert!(same.lddt_ca == 1.0 && same.tm_score > 0.9999 && same.drmsd < 1e-4, "{same:?}");
        let stretched: Vec<[f32; 3]> = alpha.iter().map(|p| p.map(|x| 1.5 * x)).collect();
        let worse = accuracy(&stretched, &chain).unwrap();
        assert!(worse.lddt_ca < 0.6 && worse.tm_score < 0.9 && worse.drmsd > 2.0, "{worse:?}");
        assert!(accuracy(&moved[1..], &chain).is_err());
    }

    #[test]
    fn unresolved_residues_do_not_count() {
        let mut chain = helix("MKVLAWGDERTYPSFNHQICMKVLAWGD", 1);
        let mut predicted: Vec<[f32; 3]> = chain.alpha().iter().map(|a| a.unwrap()).collect();
        predicted[4] = [500.0; 3];
        assert!(accuracy(&predicted, &chain).unwrap().lddt_ca < 1.0);
        chain.mask[4][chem::atoms::CA] = false;
        assert_eq!(accuracy(&predicted, &chain).unwrap().lddt_ca, 1.0);
    }

    #[test]
    fn rank_correlation_knows_order_and_ties() {
        assert_eq!(spearman(&[1.0, 2.0, 5.0], &[10.0, 20.0, 21.0]), Some(1.0));
        assert_eq!(spearman(&[1.0, 2.0, 5.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        assert_eq!(spearman(&[1.0, 1.0, 1.0], &[3.0, 2.0, 1.0]), None);
        // By hand: ranks 0, 1.5, 1.5, 3 and 0, 2, 1, 3 give 4.5/√(4.5·5).
        assert!(
            (spearman(&[1.0, 2.0, 2.0, 4.0], &[1.0, 3.0, 2.0, 4.0]).unwrap() - 0.948_683_298).abs() < 1e-8
        );
        assert_eq!(
            (median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0]), median(&[])),
            (Some(2.0), Some(2.5), None)
        );
    }
}
