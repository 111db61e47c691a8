//! Expected values of what bins stand for, from their logits: confidences, without logits leaving the GPU. AF2 Suppl. 1.9.6, 1.9.7.

use super::plain;
use crate::cpu::for_blocks;
use crate::cuda::{Job, faces};
use crate::fused::{Fused, Update};
use crate::place::{Place, Source};
use candle_core::{Result, Shape, Tensor};

/// Σ_b softmax(logits)_b · values\[i, b\] for each i.
/// - `logits` `[n.., bins]`; `values` `[k, bins]`
///
/// Returns `[k, n..]`.
pub fn expectations(logits: &Tensor, values: &Tensor) -> Update {
    Update::new(Expectations, &[logits, values])
}

struct Expectations;

impl Fused for Expectations {
    fn name(&self) -> &'static str {
        "expectations"
    }

    fn shape(&self, t: &[Tensor]) -> Result<Shape> {
        let ((k, bins), dims) = (t[1].dims2()?, t[0].dims());
        match dims.split_last() {
            Some((&last, rows)) if last == bins && bins > 0 => Ok([&[k], rows].concat().into()),
            _ => candle_core::bail!("expectations: expected [.., {bins}] and [{k}, {bins}], got {dims:?}"),
        }
    }

    fn forward(&self, t: &[Tensor], logits: Source<'_>, out: Place<'_>) -> Result<()> {
        let (k, bins) = t[1].dims2()?;
        let values = super::value(&t[1])?;
        let rows = logits.len() / bins;
        for_blocks(rows, 256, |first, n| {
            for row in first..first + n {
                // SAFETY: nothing writes the logits.
                let logits = unsafe { logits.range(row * bins, bins) };
                let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total: f32 = logits.iter().map(|v| (v - most).exp()).sum();
                for i in 0..k {
                    let weighted = logits.iter().zip(&values[i * bins..]).map(|(v, w)| (v - most).exp() * w);
                    // SAFETY: every row has its own results.
                    unsafe { out.put(i * rows + row, &[weighted.sum::<f32>() / total]) };
                }
            }
        });
        Ok(())
    }

    fn cuda(&self, job: &Job<'_>) -> Result<bool> {
        faces::expectations(job)
    }

    fn reference(&self, t: &[Tensor]) -> Result<Tensor> {
        let (_, bins) = t[1].dims2()?;
        let p = plain::softmax_last(&t[0])?;
        let p = p.reshape((p.elem_count() / bins, bins))?;
        t[1].matmul(&p.t()?)?.reshape(self.shape(t)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain::testing::{check, noise};
    use super::*;

    #[test]
    fn fused_and_gradient() {
        check(&Expectations, &[(noise(&[3, 5, 7], 1) * 3.0).unwrap(), noise(&[2, 7], 2)], &[0]);
    }

    #[test]
    fn huge_logits_choose_their_bin() {
        let logits =
            Tensor::new(&[[-1e30f32, 3e38, 0.0], [1.0, 1.0, 1.0]], &candle_core::Device::Cpu).unwrap();
        let values = Tensor::new(&[[3.0f32, 5.0, 7.0]], logits.device()).unwrap();
        let got = expectations(&logits, &values).tensor().unwrap().to_vec2::<f32>().unwrap();
        assert!(got[0][0] == 5.0 && (got[0][1] - 5.0).abs() < 1e-6, "{got:?}");
    }

    #[test]
    fn other_bins_are_refused() {
        let error = expectations(&noise(&[3, 5], 1), &noise(&[2, 7], 2)).tensor().unwrap_err().to_string();
        assert!(error.contains("[3, 5]") && error.contains("[2, 7]"), "{error}");
    }
}
