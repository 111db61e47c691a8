//! Linear layer y = x·Wᵀ + b, optionally followed by ReLU.

use super::plain;
use crate::cpu::{Finish, Mat, Packed, gemm_parallel};
use crate::fused::{Fused, apply};
use candle_core::{Result, Shape, Tensor};

/// x·Wᵀ + b.
/// - `x` `[.., in]`; `w` `[out, in]`; `b` `[out]` or none
///
/// Returns `[.., out]`.
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    run(x, w, b, false)
}

/// max(x·Wᵀ + b, 0).
pub fn linear_relu(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    run(x, w, b, true)
}

fn run(x: &Tensor, w: &Tensor, b: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    let mut inputs = vec![x, w];
    inputs.extend(b);
    apply(Linear { relu }, &inputs)
}

struct Linear {
    relu: bool,
}

impl Fused for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, t: &[Tensor]) -> Result<(Vec<f32>, Shape)> {
        let (n, k) = t[1].dims2()?;
        let mut dims = t[0].dims().to_vec();
        if dims.last() != Some(&k) {
            candle_core::bail!("linear: expected [.., {k}], got {dims:?}");
        }
        *dims.last_mut().expect("has a last dimension") = n;
        let (x, w) = (super::value(&t[0])?, super::value(&t[1])?);
        let bias = t.get(2).map(super::value).transpose()?;
        let m = x.len() / k;
        let mut out = vec![0.0; m * n];
        let finish = Finish { bias: bias.as_deref().unwrap_or(&[]), relu: self.relu, accumulate: false };
        gemm_parallel(Mat::new(&x, k), m, &Packed::from_nk(&w, k, n), &mut out, n, finish);
        Ok((out, dims.into()))
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
