//! Linear layer y = x·Wᵀ + b, optionally followed by ReLU.

use super::plain;
use crate::cpu::{Finish, Mat, Packed, gemm_parallel};
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
    update(x, w, b, true).tensor()
}

fn update(x: &Tensor, w: &Tensor, b: Option<&Tensor>, relu: bool) -> Update {
    let mut inputs = vec![x, w];
    inputs.extend(b);
    Update::new(Linear { relu }, &inputs)
}

struct Linear {
    relu: bool,
}

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
        let packed = Packed::from_nk(&w, k, n);
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

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let y = match t.get(2) {
            Some(b) => plain::linear(&t[0], &t[1], b)?,
            None => plain::matmul_t(&t[0], &t[1])?,
        };
        if self.relu { plain::relu(&y) } else { Ok(y) }
    }
}

#[cfg(test)]
mod tests {
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
}
