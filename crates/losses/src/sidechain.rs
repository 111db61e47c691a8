//! Side-chain FAPE: every atom seen from every rigid group, last layer. Suppl. Alg. 20, line 28.

use crate::ambiguity::RenamedTruth;
use crate::config::SidechainConfig;
use crate::labels::{Labels, Rigid};
use crate::ops::{input, present, rows};
use crate::{Clamp, Result, fape};
use candle_core::Tensor;

/// FAPE of all atoms under all rigid groups, always clamped.
/// - `rot` [r, 8, 3, 3], `trans` [r, 8, 3] predicted frames of the last layer, Å
/// - `atom14` [r, 14, 3] predicted atoms of the last layer, Å
///
/// Only resolved groups and atoms are computed: about 4 of 8 and 8 of 14.
/// # Errors  [`crate::Error::Shape`] where a shape is not as above.
pub fn sidechain(
    rot: &Tensor,
    trans: &Tensor,
    atom14: &Tensor,
    truth: &RenamedTruth,
    labels: &Labels,
    config: &SidechainConfig,
) -> Result<Tensor> {
    let r = labels.len();
    let groups = present(labels.frames.exists.as_flattened());
    let atoms = present(truth.exists.as_flattened());
    let rot =
        rows(&input("sidechain frame rotations", rot, &[r, 8, 3, 3])?.reshape((r * 8, 3, 3))?, &groups)?;
    let trans =
        rows(&input("sidechain frame translations", trans, &[r, 8, 3])?.reshape((r * 8, 3))?, &groups)?;
    let points = rows(&input("final_atom14_positions", atom14, &[r, 14, 3])?.reshape((r * 14, 3))?, &atoms)?;
    let true_frames: Vec<Rigid> = groups.iter().map(|g| truth.frames.as_flattened()[*g as usize]).collect();
    let true_points: Vec<[f32; 3]> =
        atoms.iter().map(|a| truth.positions.as_flattened()[*a as usize]).collect();
    let clamp = Clamp { distance: config.atom_clamp_distance, share: 1.0 };
    fape(&rot, &trans, &points, &true_frames, &true_points, config.length_scale, clamp)
}
