//! Heads, each on the representation that AlphaFold's read, and the edges of their bins.

use super::golden::Golden;
use super::report::Report;
use crate::Result;
use crate::convert::{from_vec, linspace};
use crate::heads::Heads;
use candle_core::Device;

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    let heads = Heads::load(&golden.params.sub("aux_heads"), &golden.config)?;
    let read = |module: &str| golden.tap(&format!("{module}#0:in0"));
    let msa = read("masked_msa_head/logits");
    let single = read("experimentally_resolved_head/logits");
    let structure = read("predicted_lddt_head/input_layer_norm");
    let on = |pair| heads.forward(&msa, &pair, &single, &structure);

    let logits = on(read("distogram_head/half_logits"))?;
    for (module, got) in [
        ("distogram_head", logits.distogram),
        ("masked_msa_head", logits.masked_msa),
        ("experimentally_resolved_head", logits.experimentally_resolved),
        ("predicted_lddt_head", logits.predicted_lddt),
        (
            "predicted_aligned_error_head",
            on(read("predicted_aligned_error_head/logits"))?.predicted_aligned_error,
        ),
    ] {
        let got = got.expect("the golden has all heads");
        report.compare(golden, &format!("{module}#0:out.logits"), &got);
    }

    let h = &golden.config.heads;
    let (d, e) = (h.distogram.as_ref(), h.predicted_aligned_error.as_ref());
    let (d, e) = (d.expect("the golden has all heads"), e.expect("the golden has all heads"));
    for (name, from, to, bins) in [
        ("distogram_head#0:out.bin_edges", d.first_break, d.last_break, d.num_bins),
        ("predicted_aligned_error_head#0:out.breaks", 0.0, e.max_error_bin, e.num_bins),
    ] {
        let edges = from_vec(linspace(from, to, bins - 1), &[bins - 1], &Device::Cpu)?;
        report.compare(golden, name, &edges);
    }
    Ok(())
}
