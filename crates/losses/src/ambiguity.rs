//! Which of two equivalent namings of symmetric atoms is nearer to the prediction. Suppl. Alg. 26.

use crate::Result;
use crate::labels::{Labels, Rigid, array2};
use crate::ops::{input, values};
use candle_core::Tensor;

/// Ground truth under the better naming; r residues.
#[derive(Debug, Clone, PartialEq)]
pub struct RenamedTruth {
    /// [r] whether the other naming is nearer.
    pub swapped: Vec<bool>,
    /// [r] true atom14 coordinates, Å.
    pub positions: Vec<[[f32; 3]; 14]>,
    /// [r] 1 = resolved.
    pub exists: Vec<[f32; 14]>,
    /// [r] true rigid-group frames.
    pub frames: Vec<[Rigid; 8]>,
}

/// Chooses a naming for each residue: the one whose distances from ambiguous atoms to all unambiguous ones are
/// nearer to the prediction's. The choice has no gradient.
/// - `atom14` [r, 14, 3] predicted coordinates, Å
/// # Errors  [`crate::Error::Shape`] unless `atom14` is [r, 14, 3].
pub fn rename(atom14: &Tensor, labels: &Labels) -> Result<RenamedTruth> {
    let r = labels.len();
    let flat = values(&input("final_atom14_positions", atom14, &[r, 14, 3])?)?;
    let pred: Vec<[[f32; 3]; 14]> = flat.chunks_exact(14 * 3).map(array2).collect();
    let swapped: Vec<bool> = (0..r).map(|i| other_is_nearer(i, &pred, labels)).collect();
    let truth = &labels.atom14;
    let pick = |i: usize| swapped[i];
    Ok(RenamedTruth {
        positions: (0..r)
            .map(|i| if pick(i) { truth.alt_positions[i] } else { truth.positions[i] })
            .collect(),
        exists: (0..r).map(|i| if pick(i) { truth.alt_exists[i] } else { truth.exists[i] }).collect(),
        frames: (0..r)
            .map(|i| if pick(i) { labels.frames.alt_frames[i] } else { labels.frames.frames[i] })
            .collect(),
        swapped,
    })
}

fn other_is_nearer(i: usize, pred: &[[[f32; 3]; 14]], labels: &Labels) -> bool {
    let truth = &labels.atom14;
    let (mut as_named, mut renamed) = (0.0f64, 0.0f64);
    for a in 0..14 {
        if truth.exists[i][a] * truth.ambiguous[i][a] == 0.0 {
            continue;
        }
        for j in 0..pred.len() {
            for b in 0..14 {
                if truth.exists[j][b] * (1.0 - truth.ambiguous[j][b]) == 0.0 {
                    continue;
                }
                let d = distance(pred[i][a], pred[j][b]);
                as_named += difference(d, distance(truth.positions[i][a], truth.positions[j][b]));
                renamed += difference(d, distance(truth.alt_positions[i][a], truth.alt_positions[j][b]));
            }
        }
    }
    renamed < as_named
}

fn distance(p: [f32; 3], q: [f32; 3]) -> f64 {
    let square = |k: usize| (f64::from(p[k]) - f64::from(q[k])).powi(2);
    (1e-10 + square(0) + square(1) + square(2)).sqrt()
}

fn difference(a: f64, b: f64) -> f64 {
    (1e-10 + (a - b).powi(2)).sqrt()
}
