//! Distogram: the distance between pseudo-β atoms, in bins. Suppl. 1.9.8.

use crate::Result;
use crate::config::DistogramConfig;
use crate::labels::Labels;
use crate::ops::{input, linspace, mean_cross_entropy};
use candle_core::Tensor;

/// Cross entropy of the distance bins over pairs of resolved pseudo-β atoms; scalar.
/// - `logits` [r, r, num_bins]
/// # Errors  [`crate::Error::Shape`] unless `logits` has that shape.
pub fn distogram(logits: &Tensor, labels: &Labels, config: &DistogramConfig) -> Result<Tensor> {
    let r = labels.len();
    let logits = input("distogram logits", logits, &[r, r, config.num_bins])?;
    let edges: Vec<f32> =
        linspace(config.first_break, config.last_break, config.num_bins).iter().map(|b| b * b).collect();
    let (beta, mask) = (&labels.pseudo_beta, &labels.pseudo_beta_mask);
    let (mut bins, mut weights) = (Vec::with_capacity(r * r), Vec::with_capacity(r * r));
    for i in 0..r {
        for j in 0..r {
            let square = |k: usize| (beta[i][k] - beta[j][k]) * (beta[i][k] - beta[j][k]);
            let distance = square(0) + square(1) + square(2);
            bins.push(edges.partition_point(|edge| distance > *edge) as u32);
            weights.push(mask[i] * mask[j]);
        }
    }
    mean_cross_entropy("distogram logits", &logits, &bins, &weights, 1e-6)
}
