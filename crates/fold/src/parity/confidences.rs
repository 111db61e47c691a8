//! Confidences from AlphaFold's own logits, after no and after three recycles.

use super::golden::Golden;
use super::report::Report;
use crate::Result;
use crate::confidence;
use crate::convert::{from_vec, values};
use candle_core::Device;

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    let h = &golden.config.heads;
    let (lddt, error) = (h.predicted_lddt.as_ref(), h.predicted_aligned_error.as_ref());
    let lddt = lddt.expect("the golden has all heads").num_bins;
    let error = error.expect("the golden has all heads");
    let (bins, max) = (error.num_bins, error.max_error_bin);
    let weights = golden.sample.seq_mask.to_vec();
    let r = weights.len();
    for pass in ["recycle_0", "recycle_3"] {
        let logits = |head: &str| values(&golden.output(&format!("{pass}/{head}/logits")));
        let aligned = logits("predicted_aligned_error")?;
        let (expected, most) = confidence::expected_aligned_error(&aligned, bins, max);
        let ptm = confidence::predicted_tm(&aligned, bins, max, &weights);
        for (name, got, shape) in [
            ("plddt", confidence::plddt(&logits("predicted_lddt")?, lddt), &[r][..]),
            ("expected_aligned_error", expected, &[r, r]),
            ("max_predicted_aligned_error", vec![most], &[]),
            ("ptm", vec![ptm], &[]),
        ] {
            report.compare(golden, &format!("{pass}/{name}"), &from_vec(got, shape, &Device::Cpu)?);
        }
    }
    Ok(())
}
