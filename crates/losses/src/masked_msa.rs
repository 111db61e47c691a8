//! Masked MSA: which residue stood under the mask. Suppl. 1.9.9.

use crate::config::MaskedMsaConfig;
use crate::error::expect_len;
use crate::labels::MsaTruth;
use crate::ops::{input, mean_cross_entropy};
use crate::{Error, Result};
use candle_core::Tensor;

/// Cross entropy over masked entries; scalar.
/// - `logits` [s, r, num_output]
/// # Errors  [`Error::Shape`] where the shapes of logits and truth disagree; [`Error::Value`] for a class beyond
/// `num_output`.
pub fn masked_msa(logits: &Tensor, truth: &MsaTruth<'_>, config: &MaskedMsaConfig) -> Result<Tensor> {
    let shape = match logits.dims() {
        [s, r, _] => [*s, *r, config.num_output],
        other => {
            let expected = vec![0, 0, config.num_output];
            return Err(Error::Shape { name: "masked_msa logits", expected, got: other.to_vec() });
        }
    };
    let logits = input("masked_msa logits", logits, &shape)?;
    expect_len("true_msa", truth.true_msa, &shape[..2])?;
    expect_len("bert_mask", truth.bert_mask, &shape[..2])?;
    if let Some(at) = truth.true_msa.iter().position(|class| usize::from(*class) >= config.num_output) {
        let got = truth.true_msa[at].to_string();
        return Err(Error::Value { name: "true_msa", at, expected: "a class below num_output", got });
    }
    let classes: Vec<u32> = truth.true_msa.iter().map(|class| u32::from(*class)).collect();
    mean_cross_entropy("masked_msa logits", &logits, &classes, truth.bert_mask, 1e-8)
}
