//! Confidences from logits: pLDDT, expected aligned error, predicted TM-score. AF2 Suppl. 1.9.6, 1.9.7.

use crate::convert::{from_vec, linspace, values};
use candle_core::{Result, Tensor};
use nn::ops;

/// Softmax of one row, in f64.
fn softmax(row: &[f32]) -> Vec<f64> {
    let max = row.iter().copied().fold(f32::MIN, f32::max);
    let e: Vec<f64> = row.iter().map(|&v| f64::from(v - max).exp()).collect();
    let total: f64 = e.iter().sum();
    e.into_iter().map(|v| v / total).collect()
}

/// pLDDT of each residue, 0–100, from logits `[r, bins]` over equal bins of lDDT.
pub fn plddt(logits: &[f32], bins: usize) -> Vec<f32> {
    let width = 1.0 / bins as f64;
    logits
        .chunks_exact(bins)
        .map(|row| {
            let p = softmax(row);
            (100.0 * p.iter().enumerate().map(|(i, p)| p * (i as f64 + 0.5) * width).sum::<f64>()) as f32
        })
        .collect()
}

/// Centres of the PAE bins, Å: `bins` − 1 edges up to `max`; the last bin gets the usual width.
fn centres(bins: usize, max: f32) -> Vec<f64> {
    let edges = linspace(0.0, max, bins - 1);
    let step = f64::from(edges.get(1).map_or(max, |e| e - edges[0]));
    let mut c: Vec<f64> = edges.iter().map(|&e| f64::from(e) + step / 2.0).collect();
    c.push(c.last().expect("has an edge") + step);
    c
}

/// Expected aligned error of each pair, Å, row-major, and the largest value it can take.
pub fn expected_aligned_error(logits: &[f32], bins: usize, max: f32) -> (Vec<f32>, f32) {
    let c = centres(bins, max);
    let expect = |row: &[f32]| softmax(row).iter().zip(&c).map(|(p, c)| p * c).sum::<f64>() as f32;
    (logits.chunks_exact(bins).map(expect).collect(), greatest_error(bins, max))
}

/// The largest value that an expected aligned error can take, Å.
pub fn greatest_error(bins: usize, max: f32) -> f32 {
    *centres(bins, max).last().expect("not empty") as f32
}

/// What a pair's error in each bin gives to the TM-score of residues with these `weights`.
fn tm_terms(bins: usize, max: f32, weights: &[f32]) -> Vec<f64> {
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let d0 = 1.24 * (total.max(19.0) - 15.0).cbrt() - 1.8;
    centres(bins, max).iter().map(|c| 1.0 / (1.0 + (c / d0).powi(2))).collect()
}

/// Predicted TM-score from PAE logits `[r, r, bins]`, the best over alignments on each residue. `weights` are
/// the residues' (1, or 0 for padding).
pub fn predicted_tm(logits: &[f32], bins: usize, max: f32, weights: &[f32]) -> f32 {
    let (tm, r) = (tm_terms(bins, max, weights), weights.len());
    best_alignment(weights, |i, j| {
        softmax(&logits[(i * r + j) * bins..][..bins]).iter().zip(&tm).map(|(p, t)| p * t).sum()
    })
}

/// The best over alignments on each residue of what `term` gives for each pair.
fn best_alignment(weights: &[f32], term: impl Fn(usize, usize) -> f64) -> f32 {
    let r = weights.len();
    let mut best = 0f64;
    for i in 0..r {
        let w_i = f64::from(weights[i]);
        let norm: f64 = 1e-8 + weights.iter().map(|&w| f64::from(w) * w_i).sum::<f64>();
        let present = (0..r).filter(|&j| weights[j] != 0.0);
        let sum: f64 = present.map(|j| term(i, j) * w_i * f64::from(weights[j]) / norm).sum();
        best = best.max(sum * w_i);
    }
    best as f32
}

/// The same from logits on a GPU, which stay there: predicted TM-score and, if wanted, expected aligned errors.
pub fn aligned_on_gpu(
    logits: &Tensor,
    bins: usize,
    max: f32,
    weights: &[f32],
    errors: bool,
) -> Result<(f32, Option<Vec<f32>>)> {
    let mut of_bins = tm_terms(bins, max, weights);
    if errors {
        of_bins.extend(centres(bins, max));
    }
    let of_bins: Vec<f32> = of_bins.into_iter().map(|v| v as f32).collect();
    let of_bins = from_vec(of_bins, &[1 + usize::from(errors), bins], logits.device())?;
    let mut expected = values(&ops::expectations(logits, &of_bins).tensor()?)?;
    let r = weights.len();
    let errors = errors.then(|| expected.split_off(r * r));
    Ok((best_alignment(weights, |i, j| f64::from(expected[i * r + j])), errors))
}

/// Root mean square change of all Cα–Cα distances between two passes, Å.
pub fn self_distance_change(before: &[[f32; 3]], after: &[[f32; 3]], mask: &[f32]) -> f32 {
    let distance = |x: &[[f32; 3]], i: usize, j: usize| {
        (0..3).map(|k| f64::from(x[i][k] - x[j][k]).powi(2)).sum::<f64>().sqrt()
    };
    let (mut sum, mut count) = (0.0, 0.0);
    for i in (0..mask.len()).filter(|&i| mask[i] != 0.0) {
        for j in (0..mask.len()).filter(|&j| mask[j] != 0.0) {
            sum += (distance(before, i, j) - distance(after, i, j)).powi(2);
            count += 1.0;
        }
    }
    if count == 0.0 { 0.0 } else { (sum / count + 1e-8).sqrt() as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_logits_give_their_bin() {
        let mut logits = vec![-50.0; 2 * 50];
        (logits[49], logits[50 + 10]) = (50.0, 50.0);
        let p = plddt(&logits, 50);
        assert!((p[0] - 99.0).abs() < 1e-4 && (p[1] - 21.0).abs() < 1e-4, "{p:?}");
        let mut logits = vec![-50.0; 64];
        logits[63] = 50.0;
        let (e, max) = expected_aligned_error(&logits, 64, 31.0);
        assert!((e[0] - 31.75).abs() < 1e-4 && (max - 31.75).abs() < 1e-4);
    }

    #[test]
    fn without_logits_on_the_host_the_same() {
        let (r, bins, max) = (5, 7, 12.0);
        let logits: Vec<f32> = (0..r * r * bins).map(|i| ((i * i) as f32 * 0.37).sin() * 3.0).collect();
        let weights = [1.0, 1.0, 0.0, 1.0, 1.0];
        let tensor = from_vec(logits.clone(), &[r, r, bins], &candle_core::Device::Cpu).unwrap();
        let (tm, errors) = aligned_on_gpu(&tensor, bins, max, &weights, true).unwrap();
        assert!((tm - predicted_tm(&logits, bins, max, &weights)).abs() < 1e-6, "{tm}");
        let want = expected_aligned_error(&logits, bins, max).0;
        assert!(errors.unwrap().iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_eq!(aligned_on_gpu(&tensor, bins, max, &weights, false).unwrap(), (tm, None));
    }

    #[test]
    fn moving_as_a_whole_is_no_change() {
        let a = [[0.0; 3], [3.0, 1.0, 0.0], [5.0, 2.0, 2.0]];
        let b = a.map(|p| p.map(|v| v + 7.0));
        assert!(self_distance_change(&a, &b, &[1.0; 3]) < 2e-4);
        let c = [[0.0; 3], [6.0, 2.0, 0.0], [5.0, 2.0, 2.0]];
        assert!(self_distance_change(&a, &c, &[1.0, 1.0, 0.0]) > 1.0);
    }
}
