//! Backbone FAPE over every layer of the structure module. Suppl. Alg. 20, line 17; 1.11.5.

use crate::config::FapeConfig;
use crate::labels::{Labels, Rigid};
use crate::ops::{input, present, quaternion_to_rotation, rows};
use crate::{Clamp, Error, Result, fape};
use candle_core::Tensor;

/// Backbone FAPE.
#[derive(Debug, Clone)]
pub struct BackboneLoss {
    /// Scalar: mean over layers, what the structure module's loss takes.
    pub loss: Tensor,
    /// Scalar: the last layer's.
    pub last: Tensor,
}

/// FAPE of the backbone frames' origins, averaged over layers.
/// - `traj` [layers, r, 7] unit quaternion (w, x, y, z) and translation in Å (AlphaFold's `traj`)
///
/// Residues whose N, Cα or C is unresolved are left out. Clamped errors have the share `labels.use_clamped_fape`.
/// # Errors  [`Error::Shape`] unless `traj` is [≥ 1, r, 7].
pub fn backbone(traj: &Tensor, labels: &Labels, config: &FapeConfig) -> Result<BackboneLoss> {
    let layers = traj.dims().first().copied().unwrap_or(0);
    let traj = input("traj", traj, &[layers.max(1), labels.len(), 7])?;
    let mask: Vec<f32> = labels.frames.exists.iter().map(|groups| groups[0]).collect();
    let known = present(&mask);
    let truth: Vec<Rigid> = known.iter().map(|i| labels.frames.frames[*i as usize][0]).collect();
    let true_points: Vec<[f32; 3]> = truth.iter().map(|frame| frame.trans).collect();
    let clamp = Clamp { distance: config.clamp_distance, share: f64::from(labels.use_clamped_fape) };

    let mut sum: Option<Tensor> = None;
    let mut last = None;
    for layer in 0..layers {
        let affine = rows(&traj.get(layer)?, &known)?; // [n, 7]
        let rot = quaternion_to_rotation(&affine.narrow(1, 0, 4)?.contiguous()?)?;
        let trans = affine.narrow(1, 4, 3)?.contiguous()?;
        let loss = fape(&rot, &trans, &trans, &truth, &true_points, config.loss_unit_distance, clamp)?;
        sum = Some(match sum {
            None => loss.clone(),
            Some(sum) => (sum + &loss)?,
        });
        last = Some(loss);
    }
    match (sum, last) {
        (Some(sum), Some(last)) => Ok(BackboneLoss { loss: (sum * (1.0 / layers as f64))?, last }),
        _ => Err(Error::Shape { name: "traj", expected: vec![1, labels.len(), 7], got: vec![0] }),
    }
}
