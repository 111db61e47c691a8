//! Templates: pair features, the pair stack on each template, attention over templates, and all of it.

use super::golden::{Golden, RESIDUES};
use super::report::Report;
use crate::Result;
use crate::attention::PointwiseAttention;
use crate::convert::{from_vec, values};
use crate::pair_stack::{Order, PairUpdates};
use crate::taps::Taps;
use crate::template::TemplateEmbedder;
use crate::torsion_rows::TorsionRows;
use candle_core::{DType, Device};

const ONE: &str = "evoformer/template_embedding/single_template_embedding";
const ALL: &str = "evoformer/template_embedding";

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    whole(golden, report)?;
    pair_stack(golden, report)?;
    attention(golden, report)?;
    torsions(golden, report)
}

/// From structures to the pair's update, and on the way each template's features and embedding.
fn whole(golden: &Golden, report: &mut Report) -> Result<()> {
    let embedder =
        TemplateEmbedder::load(&golden.params.sub("template_embedder"), &golden.config, DType::F32)?;
    let input = golden.sample.templates.as_ref().expect("the golden has templates");
    let (z, mask) = (golden.tap(&format!("{ALL}#0:in0")), golden.tap(&format!("{ALL}#0:in2")));
    let taps = Taps::on();
    let update = embedder.forward(&z, &mask, input, &taps)?.expect("two templates are present");
    report.compare(golden, &format!("{ALL}#0:out"), &update);
    let taps = taps.into_map();
    for t in 0..golden.calls(ONE) {
        let (features, width) = embedder.pair_features(input, t);
        let features = from_vec(features, &[RESIDUES, RESIDUES, width], &Device::Cpu)?;
        report.compare(golden, &format!("{ONE}/embedding2d#{t}:in0"), &features);
        let pairs = embedder.embed_where_it_lies(input, t, &Device::Cpu)?;
        report.compare(golden, &format!("{ONE}/template_pair_stack#{t}:in0"), &pairs);
        let embedded = &taps[&format!("template_embedder.{t}")];
        report.compare(golden, &format!("{ONE}#{t}:out"), embedded);
    }
    Ok(())
}

fn pair_stack(golden: &Golden, report: &mut Report) -> Result<()> {
    let stack = &golden.config.embeddings_and_evoformer.template.template_pair_stack;
    let c_t = golden.config.template_channel();
    let blocks = (0..stack.num_block)
        .map(|i| {
            let p = golden.params.sub(format!("template_embedder.template_pair_stack.blocks.{i}"));
            Ok(PairUpdates::load(&p, c_t, &stack.pair, Order::AttendFirst)?)
        })
        .collect::<Result<Vec<_>>>()?;
    let module = format!("{ONE}/template_pair_stack");
    for t in 0..golden.calls(&module) {
        let mask = golden.tap(&format!("{module}#{t}:in1"));
        let start = golden.tap(&format!("{module}#{t}:in0"));
        let z = blocks.iter().try_fold(start, |z, block| block.forward(z, &mask, "", &Taps::off()))?;
        report.compare(golden, &format!("{module}#{t}:out"), &z);
    }
    Ok(())
}

/// AlphaFold's reads pairs in one row, [r·r, 1, c], templates as [r·r, t, c], and 1e9·(mask − 1).
fn attention(golden: &Golden, report: &mut Report) -> Result<()> {
    let p = golden.params.sub("template_embedder.template_pointwise_att.mha");
    let attention = PointwiseAttention::load(&p, &golden.config)?;
    let at = |value: &str| golden.tap(&format!("{ALL}/attention#0:{value}"));
    let (z, templates) = (at("in0").reshape((RESIDUES, RESIDUES, ()))?, at("in1"));
    let mask: Vec<f32> = values(&at("in2"))?.iter().map(|v| v / 1e9 + 1.0).collect();
    let templates = (0..mask.len())
        .map(|t| templates.narrow(1, t, 1)?.contiguous()?.reshape((RESIDUES, RESIDUES, ())))
        .collect::<candle_core::Result<Vec<_>>>()?;
    let update = attention.forward(&z, &templates, &mask)?.reshape((RESIDUES * RESIDUES, 1, ()))?;
    report.compare(golden, &format!("{ALL}/attention#0:out"), &update);
    Ok(())
}

/// Torsion angles from structures, and the rows of the MSA made of them.
fn torsions(golden: &Golden, report: &mut Report) -> Result<()> {
    let p = golden.params.sub("template_embedder.template_single_embedder");
    let embedder = TorsionRows::load(&p, &golden.config)?;
    let input = golden.sample.templates.as_ref().expect("the golden has templates");
    let (features, mask) = embedder.features(input)?;
    report.compare(golden, "evoformer/template_single_embedding#0:in0", &features);
    let rows = embedder.forward(&features)?;
    report.compare(golden, "evoformer/template_projection#0:out", &rows);
    // The mask becomes the last rows of the Evoformer's.
    let masks = golden.tap("evoformer/evoformer_iteration#0:masks.msa");
    let (t, clusters) = (input.mask.len(), golden.sample.num_msa());
    assert_eq!(values(&mask)?, values(&masks.narrow(0, clusters, t)?)?);
    Ok(())
}
