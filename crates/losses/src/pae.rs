//! Predicted aligned error: how far each residue is off, seen from each residue's frame, in bins. Suppl. 1.9.7.

use crate::Result;
use crate::config::PaeConfig;
use crate::labels::Labels;
use crate::ops::{input, linspace, mean_cross_entropy, rotation_of, values, zero};
use candle_core::Tensor;

/// Bin of a residue's error to itself. It is 0, and the first bin holds exactly 0; but compiled AlphaFold fuses the
/// scaling of the frames with the difference and keeps about 1e-6 Å, which falls into the second bin.
const SELF_BIN: u32 = 1;

/// Cross entropy of the error bins over pairs of residues with known backbone frames; scalar. Structures outside
/// the resolution filter give a constant 0.
/// - `logits` [r, r, num_bins] first axis frame, second residue
/// - `affines` [r, 7] predicted unit quaternion (w, x, y, z) and translation, Å; no gradient
/// # Errors  [`crate::Error::Shape`] where a shape is not as above.
pub fn predicted_aligned_error(
    logits: &Tensor,
    affines: &Tensor,
    labels: &Labels,
    config: &PaeConfig,
) -> Result<Tensor> {
    let r = labels.len();
    let logits = input("predicted_aligned_error logits", logits, &[r, r, config.num_bins])?;
    let affines = values(&input("final_affines", affines, &[r, 7])?)?;
    if !config.filter.admits(labels.resolution) {
        return zero(logits.device());
    }
    let edges: Vec<f32> =
        linspace(0.0, config.max_error_bin, config.num_bins).iter().map(|b| b * b).collect();
    let predicted: Vec<([[f32; 3]; 3], [f32; 3])> = affines
        .chunks_exact(7)
        .map(|a| (rotation_of([a[0], a[1], a[2], a[3]]), [a[4], a[5], a[6]]))
        .collect();
    let truth: Vec<([[f32; 3]; 3], [f32; 3])> =
        labels.frames.frames.iter().map(|groups| (groups[0].rot, groups[0].trans)).collect();
    let mask = |i: usize| labels.frames.exists[i][0];
    let (mut bins, mut weights) = (Vec::with_capacity(r * r), Vec::with_capacity(r * r));
    for i in 0..r {
        for j in 0..r {
            let (p, t) = (local(&predicted[i], predicted[j].1), local(&truth[i], truth[j].1));
            let square = |k: usize| (p[k] - t[k]) * (p[k] - t[k]);
            let error = square(0) + square(1) + square(2);
            let bin = edges.partition_point(|edge| error > *edge) as u32;
            bins.push(if i == j { SELF_BIN } else { bin });
            weights.push(mask(i) * mask(j));
        }
    }
    mean_cross_entropy("predicted_aligned_error logits", &logits, &bins, &weights, 1e-8)
}

/// A point in a frame's coordinates.
fn local((rot, origin): &([[f32; 3]; 3], [f32; 3]), point: [f32; 3]) -> [f32; 3] {
    let v: [f32; 3] = std::array::from_fn(|k| point[k] - origin[k]);
    std::array::from_fn(|c| rot[0][c] * v[0] + rot[1][c] * v[1] + rot[2][c] * v[2])
}
