//! Whole blocks, with the residual connections and in their order: the extra-MSA stack, each block of the
//! Evoformer with every update on the way, and all of its blocks in a row.

use super::golden::Golden;
use super::report::Report;
use crate::Result;
use crate::evoformer::{Block, Stack};
use crate::taps::Taps;
use candle_core::Tensor;

/// Updates by our taps' names and AlphaFold's modules.
const UPDATES: [(&str, &str); 10] = [
    ("msa_att_row", "msa_row_attention_with_pair_bias"),
    ("msa_att_col", "msa_column_attention"),
    ("msa_att_col", "msa_column_global_attention"),
    ("msa_transition", "msa_transition"),
    ("outer_product_mean", "outer_product_mean"),
    ("tri_mul_out", "triangle_multiplication_outgoing"),
    ("tri_mul_in", "triangle_multiplication_incoming"),
    ("tri_att_start", "triangle_attention_starting_node"),
    ("tri_att_end", "triangle_attention_ending_node"),
    ("pair_transition", "pair_transition"),
];

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    let t = &golden.config.embeddings_and_evoformer;
    for (ours, theirs, n, c, kind) in [
        (
            "extra_msa_stack",
            "evoformer/extra_msa_stack",
            t.extra_msa_stack_num_block,
            t.extra_msa_channel,
            Stack::Extra,
        ),
        ("evoformer", "evoformer/evoformer_iteration", t.evoformer_num_block, t.msa_channel, Stack::Main),
    ] {
        assert_eq!(golden.calls(theirs), n);
        for i in 0..n {
            let path = format!("{ours}.blocks.{i}");
            let block = block(golden, &path, c, kind)?;
            let at = |value: &str| golden.tap(&format!("{theirs}#{i}:{value}"));
            let (m, z, taps) = (at("activations.msa"), at("activations.pair"), Taps::on());
            let (m, z) = block.forward(m, z, (&at("masks.msa"), &at("masks.pair")), &taps)?;
            report.compare(golden, &format!("{theirs}#{i}:out.msa"), &m);
            report.compare(golden, &format!("{theirs}#{i}:out.pair"), &z);
            let taps = taps.into_map();
            for (name, module) in UPDATES {
                if golden.index.contains_key(&format!("{theirs}/{module}#{i}")) {
                    let update = &taps[&format!("{path}.{name}")];
                    report.compare(golden, &format!("{theirs}/{module}#{i}:out"), update);
                }
            }
        }
    }
    all(golden, report)
}

fn block(golden: &Golden, path: &str, c: usize, kind: Stack) -> Result<Block> {
    let t = &golden.config.embeddings_and_evoformer;
    Ok(Block::load(&golden.params, path.to_owned(), c, t.pair_channel, &t.evoformer, kind)?)
}

/// All blocks of the Evoformer.
fn all(golden: &Golden, report: &mut Report) -> Result<()> {
    let t = &golden.config.embeddings_and_evoformer;
    let at = |value: &str| golden.tap(&format!("evoformer/__layer_stack_no_state_1#0:in0.0.0.{value}"));
    let mask = |value: &str| golden.tap(&format!("evoformer/evoformer_iteration#0:masks.{value}"));
    let masks: (Tensor, Tensor) = (mask("msa"), mask("pair"));
    let (mut m, mut z) = (at("msa"), at("pair"));
    for i in 0..t.evoformer_num_block {
        let block = block(golden, &format!("evoformer.blocks.{i}"), t.msa_channel, Stack::Main)?;
        (m, z) = block.forward(m, z, (&masks.0, &masks.1), &Taps::off())?;
    }
    let stack = "evoformer/__layer_stack_no_state_1#0";
    report.compare(golden, &format!("{stack}:out.0.0.0.msa"), &m);
    report.compare(golden, &format!("{stack}:out.0.0.0.pair"), &z);
    Ok(())
}
