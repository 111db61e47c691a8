//! Linear layer y = x·Wᵀ + b, optionally followed by ReLU.

use super::plain;
use super::sums::{Sums, add_rows, gradients};
use crate::cpu::{
    Finish, Mat, Packed, SharedMut, add_transposed_product, gemm, gemm_parallel, relu_backward_row, scratch,
    sum_parts,
};
use crate::cuda::{BackwardJob, Job, faces};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// x·Wᵀ + b.
/// - `x` `[.., in]`; `w` `[out, in]`; `b` `[out]` or none
///
/// Returns `[.., out]`.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    update(x, w, b, false).tensor()
}

/// As [`linear`], to be added to something.
pub fn linear_update(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Update {
    update(x, w, b, false)
}

/// max(x·Wᵀ + b, 0).
pub fn linear_relu(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    linear_relu_update(x, w, b).tensor()
}

/// As [`linear_relu`], to be added to something.
pub fn linear_relu_update(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Update {
    update(x, w, b, true)
}

pub(super) fn update(x: &Tensor, w: &Tensor, b: Option<&Tensor>, relu: bool) -> Update {
    let mut inputs = vec![x, w];
    inputs.extend(b);
    Update::new(Linear { relu }, &inputs)
}

struct Linear {
    relu: bool,
}

/// Rows of one block going back.
const ROWS: usize = 192;

impl Fused for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let (n, k) = t[1].dims2()?;
        let mut dims = t[0].dims().to_vec();
        if dims.last() != Some(&k) {
            candle_core::bail!("linear: expected [.., {k}], got {dims:?}");
        }
        *dims.last_mut().expect("has a last dimension") = n;
        Ok(dims.into())
    }

    fn forward(&self, t: &[Tensor], x: Source<'_>, out: Place<'_>) -> Result<()> {
        let (n, k) = t[1].dims2()?;
        let w = super::value(&t[1])?;
        let bias = t.get(2).map(super::value).transpose()?;
        let m = x.len() / k;
        let packed = w.number().pack_nk(&w, k, n);
        let adds = out.adds();
        let finish =
            Finish { bias: bias.as_deref().unwrap_or(&[]), relu: self.relu, accumulate: adds && !self.relu };
        // SAFETY: source and result are two memories, as `may_alias` says, and no other thread has them.
        let (x, to) = unsafe { (x.range(0, m * k), out.range(0, m * n)) };
        if adds && self.relu {
            // What is added passes through ReLU, the sum does not.
            let mut y = vec![0.0; m * n];
            gemm_parallel(Mat::new(x, k), m, &packed, &mut y, n, finish);
            to.iter_mut().zip(&y).for_each(|(to, y)| *to += y);
        } else {
            gemm_parallel(Mat::new(x, k), m, &packed, to, n, finish);
        }
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::linear(job, self.relu)
    }

    fn cuda_backward(&self, job: &BackwardJob<'_>) -> Result<bool> {
        faces::linear_backward(job, self.relu)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let y = match t.get(2) {
            Some(b) => plain::linear(&t[0], &t[1], b)?,
            None => plain::matmul_t(&t[0], &t[1])?,
        };
        if self.relu { plain::relu(&y) } else { Ok(y) }
    }

    fn backward(&self, t: &[Tensor], grad: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (n, k) = t[1].dims2()?;
        let [x, w] = super::values(&t[..2])?;
        let (x, grad): (&[f32], _) = (&x, super::value(grad)?);
        let grad: &[f32] = &grad;
        let bias = t.get(2).map(super::value).transpose()?;
        let bias: &[f32] = bias.as_deref().unwrap_or(&[]);
        let m = x.len() / k;
        let groups: [&[usize]; 2] = [&[1], &[2]];
        let sums = Sums::new(t, wanted, &groups[..t.len() - 1]);
        let ahead = if self.relu { Packed::from_nk(&w, k, n) } else { Packed::empty() };
        let back = if wanted[0] { Packed::from_kn(&w, n, k) } else { Packed::empty() };
        let mut dx = vec![0.0; if wanted[0] { m * k } else { 0 }];
        let share = SharedMut::new(&mut dx);
        let mut total = sums.buffer();
        sum_parts(m, ROWS, &mut total, |row, rows, sum| {
            let x = &x[row * k..][..rows * k];
            let mut go = |grad: &[f32]| {
                if wanted[0] {
                    // SAFETY: blocks of rows are disjoint.
                    let dx = unsafe { share.range(row * k, rows * k) };
                    gemm(Mat::new(grad, n), rows, &back, dx, k, Finish::default());
                }
                if wanted[1] {
                    add_transposed_product((grad, n), n, (x, k), k, rows, sums.of(sum, 1));
                }
                if t.len() > 2 {
                    add_rows(sums.of(sum, 2), grad, n, rows);
                }
            };
            let grad = &grad[row * n..][..rows * n];
            if !self.relu {
                return go(grad);
            }
            scratch(2 * rows * n, |buffer| {
                let (y, passed) = buffer.split_at_mut(rows * n);
                gemm(Mat::new(x, k), rows, &ahead, y, n, Finish { bias, relu: true, accumulate: false });
                passed.copy_from_slice(grad);
                relu_backward_row(y, passed);
                go(passed);
            });
        });
        gradients(dx, &[(&sums, &total)], t, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradcheck::check_backward;
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        let t = [noise(&[2, 5, 7], 1), noise(&[11, 7], 2), noise(&[11], 3)];
        check(&Linear { relu: false }, &t, &[0, 1, 2]);
        check(&Linear { relu: false }, &t[..2], &[0, 1]);
    }

    #[test]
    fn relu_cuts_below_zero() {
        let t = [noise(&[9, 7], 4), noise(&[11, 7], 5), noise(&[11], 6)];
        check(&Linear { relu: true }, &t, &[0, 1, 2]);
    }

    #[test]
    fn backward() {
        for (rows, scale) in [(1, 1e-4), (2, 1.0), (17, 1e3), (333, 1.0)] {
            let x = (noise(&[rows, 3, 33], 1) * scale).unwrap();
            let t = [x, noise(&[18, 33], 2), noise(&[18], 3)];
            for relu in [false, true] {
                check_backward(&Linear { relu }, &t, &[0, 1, 2], Some(2e-6));
                check_backward(&Linear { relu }, &t[..2], &[1], Some(2e-6));
                check_backward(&Linear { relu }, &t, &[0], Some(2e-6));
            }
        }
    }
}
