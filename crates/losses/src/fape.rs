//! Frame-aligned point error. Suppl. Alg. 28.

use crate::labels::Rigid;
use crate::ops::{constant, sum2, zero};
use crate::{Result, error::expect_shape};
use candle_core::Tensor;

/// Inside the root and in the count.
const EPSILON: f64 = 1e-4;

/// How errors are cut off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Clamp {
    /// Errors count up to this, Å; beyond, they have no gradient.
    pub distance: f64,
    /// Share of the clamped error in the result, 0–1; the rest is unclamped. Suppl. 1.11.5.
    pub share: f64,
}

/// Mean distance between predicted points seen from predicted frames and true points seen from true frames.
/// Every frame and point counts: the caller leaves out those without ground truth.
/// - `rot` [f, 3, 3], `trans` [f, 3] predicted frames, f32, Å
/// - `points` [p, 3] predicted points, f32, Å
/// - `true_frames` [f], `true_points` [p], Å
/// - `unit` Å that count as 1
///
/// Returns a scalar. Differentiable in `rot`, `trans` and `points`; memory 3 · f · p numbers and as much again
/// backward.
/// # Errors  [`crate::Error::Shape`] where counts disagree.
pub fn fape(
    rot: &Tensor,
    trans: &Tensor,
    points: &Tensor,
    true_frames: &[Rigid],
    true_points: &[[f32; 3]],
    unit: f64,
    clamp: Clamp,
) -> Result<Tensor> {
    let (f, p) = (true_frames.len(), true_points.len());
    expect_shape("frame rotations", rot, &[f, 3, 3])?;
    expect_shape("frame translations", trans, &[f, 3])?;
    expect_shape("points", points, &[p, 3])?;
    if f == 0 || p == 0 {
        return zero(points.device());
    }
    let device = points.device();
    // Component c of the error is Rᵀx − Rᵀt − (R̂ᵀx̂ − R̂ᵀt̂) = [Rᵀ_c, −Rᵀ_c·t + R̂ᵀ_c·t̂, −R̂ᵀ_c] · [x, 1, x̂]:
    // one product [f, 7] · [7, p] a component, and no [f, p, 3] anywhere.
    let ones = Tensor::ones((p, 1), points.dtype(), device)?;
    let right = Tensor::cat(&[points, &ones, &constant(true_points.as_flattened(), &[p, 3], device)?], 1)?;
    let right = right.t()?; // [7, p]
    let mut squared: Option<Tensor> = None;
    for c in 0..3 {
        let axis = rot.narrow(2, c, 1)?.squeeze(2)?.contiguous()?; // [f, 3]: column c of R
        let offset = (&axis * trans)?.sum_keepdim(1)?; // [f, 1]
        let true_axis: Vec<[f32; 3]> = true_frames.iter().map(|t| t.rot.map(|row| -row[c])).collect();
        let true_offset: Vec<f32> = true_frames.iter().map(|t| true_offset(t, c)).collect();
        let left = Tensor::cat(
            &[
                &axis,
                &(constant(&true_offset, &[f, 1], device)? - offset)?,
                &constant(true_axis.as_flattened(), &[f, 3], device)?,
            ],
            1,
        )?; // [f, 7]
        let square = left.matmul(&right)?.sqr()?; // [f, p]
        squared = Some(match squared {
            None => square,
            Some(sum) => (sum + square)?,
        });
    }
    let Some(squared) = squared else { return zero(device) };
    let distance = (squared + EPSILON)?.sqrt()?;
    let scale = 1.0 / (unit * (EPSILON + f as f64 * p as f64));
    let clamped = || -> Result<Tensor> {
        // min(d, cut) = cut − max(cut − d, 0): no gradient beyond the cut.
        sum2(&(distance.affine(-1.0, clamp.distance)?.relu()?.affine(-1.0, clamp.distance)?))
    };
    let sum = if clamp.share >= 1.0 {
        clamped()?
    } else if clamp.share <= 0.0 {
        sum2(&distance)?
    } else {
        ((clamped()? * clamp.share)? + (sum2(&distance)? * (1.0 - clamp.share))?)?
    };
    Ok((sum * scale)?)
}

/// Component c of R̂ᵀt̂.
fn true_offset(frame: &Rigid, c: usize) -> f32 {
    (0..3).map(|k| f64::from(frame.rot[k][c]) * f64::from(frame.trans[k])).sum::<f64>() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const IDENTITY: Rigid =
        Rigid { rot: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], trans: [0.0; 3] };
    /// A quarter turn around z, moved.
    const TURNED: Rigid =
        Rigid { rot: [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], trans: [3.0, -2.0, 5.0] };

    fn tensors(frames: &[Rigid]) -> (Var, Var) {
        let rot: Vec<f32> =
            frames.iter().flat_map(|f| *f.rot.as_flattened().first_chunk::<9>().unwrap()).collect();
        let trans: Vec<f32> = frames.iter().flat_map(|f| f.trans).collect();
        let n = frames.len();
        (
            Var::from_vec(rot, (n, 3, 3), &Device::Cpu).unwrap(),
            Var::from_vec(trans, (n, 3), &Device::Cpu).unwrap(),
        )
    }

    fn loss(
        frames: &[Rigid],
        points: &[[f32; 3]],
        truth: &[Rigid],
        true_points: &[[f32; 3]],
        clamp: Clamp,
    ) -> f64 {
        let (rot, trans) = tensors(frames);
        let points = Tensor::from_slice(points.as_flattened(), (points.len(), 3), &Device::Cpu).unwrap();
        let loss = fape(&rot, &trans, &points, truth, true_points, 10.0, clamp).unwrap();
        f64::from(loss.to_scalar::<f32>().unwrap())
    }

    #[test]
    fn moving_everything_together_costs_nothing_but_epsilon() {
        let clamp = Clamp { distance: 10.0, share: 1.0 };
        // TURNED maps (x, y, z) to (3 - y, x - 2, z + 5).
        let (here, there) = ([[1.0, 2.0, 3.0], [-4.0, 0.5, 2.0]], [[1.0, -1.0, 8.0], [2.5, -6.0, 7.0]]);
        let got = loss(&[TURNED], &there, &[IDENTITY], &here, clamp);
        assert!((got - 0.001 * 2.0 / 2.0001).abs() < 1e-6, "{got}");
    }

    #[test]
    fn clamp_mixes_and_stops_the_gradient() {
        let (near, far) = ([3.0, 0.0, 0.0], [0.0, 40.0, 0.0]);
        let truth = [[0.0f32; 3]; 2];
        let at =
            |share| loss(&[IDENTITY], &[near, far], &[IDENTITY], &truth, Clamp { distance: 10.0, share });
        let count = 10.0 * (2.0 + 1e-4);
        assert!((at(1.0) - (3.0 + 10.0) / count).abs() < 1e-5);
        assert!((at(0.0) - (3.0 + 40.0) / count).abs() < 1e-5);
        assert!((at(0.25) - (3.0 + 0.25 * 10.0 + 0.75 * 40.0) / count).abs() < 1e-5);

        let (rot, trans) = tensors(&[IDENTITY]);
        let points = Var::new(&[near, far], &Device::Cpu).unwrap();
        let clamp = Clamp { distance: 10.0, share: 1.0 };
        let loss = fape(&rot, &trans, &points, &[IDENTITY], &truth, 10.0, clamp).unwrap();
        let grad = loss.backward().unwrap().remove(&points).unwrap().to_vec2::<f32>().unwrap();
        assert!((f64::from(grad[0][0]) - 1.0 / count).abs() < 1e-5);
        assert_eq!(grad[1], [0.0; 3]);
    }

    #[test]
    fn no_frames_no_loss() {
        let empty = Tensor::zeros((0, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let rot = Tensor::zeros((0, 3, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        let clamp = Clamp { distance: 10.0, share: 1.0 };
        let loss = fape(&rot, &empty, &empty, &[], &[], 10.0, clamp).unwrap();
        assert_eq!(loss.to_scalar::<f32>().unwrap(), 0.0);
    }
}
