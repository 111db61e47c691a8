//! Supervised χ angles, and the length of the torsion vectors. Suppl. Alg. 27.

use crate::Result;
use crate::labels::Labels;
use crate::ops::{constant, input};
use candle_core::Tensor;
use chem::chi::CHI_PI_PERIODIC;

/// The two parts of the torsion loss, unweighted scalars.
#[derive(Debug, Clone)]
pub struct ChiLoss {
    /// Squared error of (sin, cos) of χ1–χ4, against the nearer of the two truths where χ repeats every π.
    pub chi: Tensor,
    /// |length − 1| of the seven torsion vectors before they are normalised.
    pub angle_norm: Tensor,
}

/// Torsion losses, averaged over layers and known angles.
/// - `angles` [layers, r, 7, 2] unit (sin, cos) of pre-ω, φ, ψ, χ1–χ4
/// - `unnormalized` [layers, r, 7, 2] the same before normalisation
/// # Errors  [`crate::Error::Shape`] where a shape is not as above.
pub fn chi(angles: &Tensor, unnormalized: &Tensor, labels: &Labels) -> Result<ChiLoss> {
    let (layers, r) = (angles.dims().first().copied().unwrap_or(0), labels.len());
    let angles = input("angles_sin_cos", angles, &[layers, r, 7, 2])?;
    let unnormalized = input("unnormalized_angles_sin_cos", unnormalized, &[layers, r, 7, 2])?;
    let device = angles.device();

    let truth = labels.chi.sin_cos.as_flattened();
    let period = labels.aatype.iter().flat_map(|a| CHI_PI_PERIODIC[usize::from(*a)]);
    let other: Vec<[f32; 2]> =
        truth.iter().zip(period).map(|(t, periodic)| t.map(|x| x * (1.0 - 2.0 * periodic))).collect();
    let shape = [r, 4, 2];
    let pred = angles.narrow(2, 3, 4)?.contiguous()?; // [layers, r, 4, 2]
    let error = |truth: &[[f32; 2]]| -> Result<Tensor> {
        Ok(pred.broadcast_sub(&constant(truth.as_flattened(), &shape, device)?)?.sqr()?.sum(3)?)
    };
    let error = error(truth)?.minimum(&error(&other)?)?; // [layers, r, 4]
    let chi = masked_mean(&error, labels.chi.mask.as_flattened(), &[r, 4], layers as f64)?;

    let length = (unnormalized.sqr()?.sum(3)? + 1e-6)?.sqrt()?; // [layers, r, 7]
    let error = (length - 1.0)?.abs()?;
    let angle_norm = masked_mean(&error, &labels.seq_mask, &[r, 1], layers as f64 * 7.0)?;
    Ok(ChiLoss { chi, angle_norm })
}

/// Σ mask·error / (repeats · Σ mask + 1e-10); the mask broadcasts over `repeats` entries.
fn masked_mean(error: &Tensor, mask: &[f32], shape: &[usize], repeats: f64) -> Result<Tensor> {
    let count: f64 = mask.iter().map(|m| f64::from(*m)).sum();
    let masked = error.broadcast_mul(&constant(mask, shape, error.device())?)?;
    Ok((masked.sum_all()? * (1.0 / (count * repeats + 1e-10)))?)
}
