//! Predicted lDDT: each residue's Cα lDDT, in bins. Suppl. 1.9.6, Alg. 29.

use crate::Result;
use crate::config::PlddtConfig;
use crate::labels::{Labels, array2};
use crate::ops::{input, mean_cross_entropy, values, zero};
use candle_core::Tensor;
use chem::atoms::CA;

/// Cross entropy of the lDDT bins over residues with a resolved Cα; scalar. Structures outside the resolution
/// filter give a constant 0.
/// - `logits` [r, num_bins]
/// - `positions` [r, 37, 3] predicted atoms, Å; the true lDDT is that of this prediction and has no gradient
/// # Errors  [`crate::Error::Shape`] where a shape is not as above.
pub fn predicted_lddt(
    logits: &Tensor,
    positions: &Tensor,
    labels: &Labels,
    config: &PlddtConfig,
) -> Result<Tensor> {
    let r = labels.len();
    let logits = input("predicted_lddt logits", logits, &[r, config.num_bins])?;
    let flat = values(&input("final_atom_positions", positions, &[r, 37, 3])?)?;
    if !config.filter.admits(labels.resolution) {
        return zero(logits.device());
    }
    let ca: Vec<[f32; 3]> = flat.chunks_exact(37 * 3).map(|row| array2::<37>(row)[CA]).collect();
    let mask = labels.ca_mask();
    let scores = lddt_ca(&ca, &labels.ca(), &mask);
    let bin =
        |score: &f32| ((score * config.num_bins as f32).floor() as usize).min(config.num_bins - 1) as u32;
    let bins: Vec<u32> = scores.iter().map(bin).collect();
    mean_cross_entropy("predicted_lddt logits", &logits, &bins, &mask, 1e-8)
}

/// lDDT of each residue's Cα, 0–1, within 15 Å in the true structure, as AlphaFold computes it: in f32, with
/// 1e-10 in numerator and denominator. Scores often fall on the edge of a bin, so the rounding matters.
/// - `predicted`, `truth` [r] Å
/// - `mask` [r] 1 = resolved
/// # Panics  if lengths differ.
pub fn lddt_ca(predicted: &[[f32; 3]], truth: &[[f32; 3]], mask: &[f32]) -> Vec<f32> {
    let distance = |p: [f32; 3], q: [f32; 3]| {
        let square = |k: usize| (p[k] - q[k]) * (p[k] - q[k]);
        (1e-10 + (square(0) + square(1) + square(2))).sqrt()
    };
    let r = truth.len();
    assert!(predicted.len() == r && mask.len() == r, "one point and one mask entry a residue");
    let score = |i: usize| {
        let (mut pairs, mut kept) = (0.0f32, 0.0f32);
        for j in (0..r).filter(|j| *j != i) {
            let d = distance(truth[i], truth[j]);
            let counts = mask[i] * mask[j];
            if d < 15.0 && counts != 0.0 {
                let off = (d - distance(predicted[i], predicted[j])).abs();
                let within = [0.5, 1.0, 2.0, 4.0].iter().filter(|limit| off < **limit).count();
                pairs += counts;
                kept += counts * 0.25 * within as f32;
            }
        }
        (1.0 / (1e-10 + pairs)) * (1e-10 + kept)
    };
    (0..r).map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_model_scores_one_and_a_stretched_one_less() {
        let truth: Vec<[f32; 3]> = (0..5).map(|i| [3.8 * i as f32, 0.0, 0.0]).collect();
        let mask = [1.0, 1.0, 0.0, 1.0, 1.0];
        assert!(lddt_ca(&truth, &truth, &mask)[..2].iter().all(|s| (s - 1.0).abs() < 1e-6));
        // Stretching by 1.5 Å a step: neighbours 1.5 Å off (half), 3 steps 4.5 Å off (nothing), 4 steps beyond 15 Å.
        let stretched: Vec<[f32; 3]> = (0..5).map(|i| [5.3 * i as f32, 0.0, 0.0]).collect();
        let scores = lddt_ca(&stretched, &truth, &mask);
        assert!((scores[0] - 0.5 / 2.0).abs() < 1e-6, "{scores:?}");
        assert!((scores[1] - (0.5 + 0.25 + 0.0) / 3.0).abs() < 1e-6, "{scores:?}");
    }
}
