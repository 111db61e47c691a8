//! Experimentally resolved: which atoms an experiment shows. Suppl. 1.9.10.

use crate::Result;
use crate::config::ResolvedConfig;
use crate::labels::Labels;
use crate::ops::{constant, input, softplus, zero};
use candle_core::Tensor;

/// Sigmoid cross entropy over the atoms a residue type has; scalar. Structures outside the resolution filter give
/// a constant 0.
/// - `logits` [r, 37]
/// # Errors  [`crate::Error::Shape`] unless `logits` has that shape.
pub fn experimentally_resolved(logits: &Tensor, labels: &Labels, config: &ResolvedConfig) -> Result<Tensor> {
    let r = labels.len();
    let logits = input("experimentally_resolved logits", logits, &[r, 37])?;
    if !config.filter.admits(labels.resolution) {
        return zero(logits.device());
    }
    // −ln σ(x) for resolved atoms, −ln σ(−x) for the others: softplus of the logit with its sign.
    let signs: Vec<f32> = labels.all_atom_mask.as_flattened().iter().map(|m| 1.0 - 2.0 * m).collect();
    let exists = labels.atom37_exists.as_flattened();
    let count: f64 = exists.iter().map(|m| f64::from(*m)).sum();
    let errors = softplus(&(&logits * constant(&signs, &[r, 37], logits.device())?)?)?;
    let masked = (errors * constant(exists, &[r, 37], logits.device())?)?;
    Ok((masked.sum_all()? * (1.0 / (1e-8 + count)))?)
}
