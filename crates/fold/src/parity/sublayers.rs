//! Every sublayer of every block, alone: attentions, transitions, triangle multiplications, outer product mean.

use super::golden::Golden;
use super::report::Report;
use crate::Result;
use crate::attention::{GatedAttention, GlobalColumnAttention, MsaRowAttention, TriangleAttention};
use crate::config::{Block, PairBlock};
use crate::evoformer::OuterProductMean;
use crate::pair_stack::{Transition, TriangleMultiplication};
use candle_core::Tensor;
use nn::Params;
use nn::ops::{Edges, Orientation};

/// A stack of blocks: its scope in AlphaFold, where our blocks and their pair updates are, and the widths.
pub struct Stack {
    pub theirs: &'static str,
    pub blocks: &'static str,
    /// Path of a block's pair updates below the block, with a dot; or nothing.
    pub pair: &'static str,
    /// Width of the MSA, if the stack has one.
    pub c_m: Option<usize>,
    pub c_z: usize,
}

/// The template pair stack's scope.
pub const TEMPLATES: &str =
    "evoformer/template_embedding/single_template_embedding/template_pair_stack/__layer_stack_no_state";

/// All stacks: templates, extra MSA, Evoformer.
pub fn stacks(golden: &Golden) -> [Stack; 3] {
    let t = &golden.config.embeddings_and_evoformer;
    let templates = Stack {
        theirs: TEMPLATES,
        blocks: "template_embedder.template_pair_stack.blocks",
        pair: "",
        c_m: None,
        c_z: golden.config.template_channel(),
    };
    let extra = Stack {
        theirs: "evoformer/extra_msa_stack",
        blocks: "extra_msa_stack.blocks",
        pair: "pair_stack.",
        c_m: Some(t.extra_msa_channel),
        c_z: t.pair_channel,
    };
    let main = Stack {
        theirs: "evoformer/evoformer_iteration",
        blocks: "evoformer.blocks",
        pair: "pair_stack.",
        c_m: Some(t.msa_channel),
        c_z: t.pair_channel,
    };
    [templates, extra, main]
}

/// Reads and compares one call of a sublayer.
struct Call<'a> {
    golden: &'a Golden,
    module: String,
    call: usize,
}

impl Call<'_> {
    fn tap(&self, value: &str) -> Tensor {
        self.golden.tap(&format!("{}#{}:{value}", self.module, self.call))
    }

    fn compare(&self, report: &mut Report, got: &Tensor) {
        report.compare(self.golden, &format!("{}#{}:out", self.module, self.call), got);
    }

    /// As [`Call::compare`], and with the sublayer's last part, of which the golden keeps the first call. A part
    /// that works on columns has the axes swapped.
    fn compare_both(&self, report: &mut Report, got: &Tensor, last: &str, axes: Axes) -> Result<()> {
        self.compare(report, got);
        if self.call == 0 {
            let got = match axes {
                Axes::Same => got.clone(),
                Axes::Swapped => got.transpose(0, 1)?.contiguous()?,
            };
            report.compare(self.golden, &format!("{}/{last}#0:out", self.module), &got);
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Axes {
    Same,
    Swapped,
}

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    let t = &golden.config.embeddings_and_evoformer;
    for stack in stacks(golden) {
        // The template stack runs its blocks once for each template.
        let blocks = match stack.c_m {
            None => t.template.template_pair_stack.num_block,
            Some(_) => golden.calls(&format!("{}/pair_transition", stack.theirs)),
        };
        for call in 0..golden.calls(&format!("{}/pair_transition", stack.theirs)) {
            let p = golden.params.sub(format!("{}.{}", stack.blocks, call % blocks));
            match stack.c_m {
                None => pair(golden, report, &stack, call, &p, &t.template.template_pair_stack.pair)?,
                Some(c_m) => {
                    msa(golden, report, &stack, call, &p, (c_m, &t.evoformer))?;
                    pair(golden, report, &stack, call, &p, &t.evoformer.pair)?;
                }
            }
        }
    }
    Ok(())
}

fn msa(
    golden: &Golden,
    report: &mut Report,
    stack: &Stack,
    call: usize,
    p: &Params,
    (c_m, sizes): (usize, &Block),
) -> Result<()> {
    let at = |module: &str| Call { golden, module: format!("{}/{module}", stack.theirs), call };

    let here = at("msa_row_attention_with_pair_bias");
    let row = MsaRowAttention::load(
        &p.sub("msa_att_row"),
        c_m,
        stack.c_z,
        &sizes.msa_row_attention_with_pair_bias,
    )?;
    let update = row.update(&here.tap("in0"), &here.tap("pair_act"), &here.tap("in1"))?.tensor()?;
    here.compare_both(report, &update, "attention", Axes::Same)?;

    if stack.theirs.ends_with("extra_msa_stack") {
        let here = at("msa_column_global_attention");
        let column = GlobalColumnAttention::load(&p.sub("msa_att_col"), c_m, &sizes.msa_column_attention)?;
        let update = column.update(&here.tap("in0"), &here.tap("in1")).tensor()?;
        here.compare_both(report, &update, "attention", Axes::Swapped)?;
    } else {
        let here = at("msa_column_attention");
        let (p, per_column) = (p.sub("msa_att_col._msa_att"), Orientation::PerColumn);
        let column = GatedAttention::load(&p, "layer_norm_m", c_m, &sizes.msa_column_attention, per_column)?;
        let update = column.update(&here.tap("in0"), &here.tap("in1"), None).tensor()?;
        here.compare_both(report, &update, "attention", Axes::Swapped)?;
    }

    let here = at("msa_transition");
    let factor = sizes.msa_transition.num_intermediate_factor;
    let transition = Transition::load(&p.sub("msa_transition"), c_m, factor)?;
    here.compare_both(report, &transition.update(&here.tap("in0")).tensor()?, "sequential", Axes::Same)?;

    let here = at("outer_product_mean");
    let outer = OuterProductMean::load(
        &p.sub("outer_product_mean"),
        c_m,
        sizes.outer_product_mean.num_outer_channel,
        stack.c_z,
    )?;
    here.compare(report, &outer.update(&here.tap("in0"), &here.tap("in1")).tensor()?);
    Ok(())
}

fn pair(
    golden: &Golden,
    report: &mut Report,
    stack: &Stack,
    call: usize,
    p: &Params,
    sizes: &PairBlock,
) -> Result<()> {
    let at = |module: &str| Call { golden, module: format!("{}/{module}", stack.theirs), call };
    let sub = |name: &str| p.sub(format!("{}{name}", stack.pair));

    for (module, name, sizes, edges) in [
        ("outgoing", "tri_mul_out", &sizes.triangle_multiplication_outgoing, Edges::Outgoing),
        ("incoming", "tri_mul_in", &sizes.triangle_multiplication_incoming, Edges::Incoming),
    ] {
        let here = at(&format!("triangle_multiplication_{module}"));
        let multiply = TriangleMultiplication::load(&sub(name), stack.c_z, sizes, edges)?;
        here.compare(report, &multiply.update(&here.tap("in0"), &here.tap("in1")).tensor()?);
    }

    let (starting, ending) = (&sizes.triangle_attention_starting_node, &sizes.triangle_attention_ending_node);
    for (module, name, sizes, orientation, axes) in [
        ("starting", "tri_att_start", starting, Orientation::PerRow, Axes::Same),
        ("ending", "tri_att_end", ending, Orientation::PerColumn, Axes::Swapped),
    ] {
        let here = at(&format!("triangle_attention_{module}_node"));
        let attend = TriangleAttention::load(&sub(name), stack.c_z, sizes, orientation)?;
        let update = attend.update(&here.tap("in0"), &here.tap("in1"))?.tensor()?;
        here.compare_both(report, &update, "attention", axes)?;
    }

    let here = at("pair_transition");
    let factor = sizes.pair_transition.num_intermediate_factor;
    let transition = Transition::load(&sub("pair_transition"), stack.c_z, factor)?;
    here.compare_both(report, &transition.update(&here.tap("in0")).tensor()?, "sequential", Axes::Same)?;
    Ok(())
}
