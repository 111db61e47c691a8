//! Parts of the sublayers, of which the golden keeps what the first call gave. Ours are fused, so each part is
//! made here from our parameters and from the parts before it; this pins which parameter goes where. What the
//! last part gives is the sublayer's output: see `sublayers`.

use super::golden::Golden;
use super::layers::{Kind, apply};
use super::report::Report;
use super::sublayers::{Stack, stacks};
use crate::Result;
use candle_core::Tensor;
use nn::ops;

/// Parts of one sublayer: our path is that of the block and `ours`.
struct Parts<'a> {
    golden: &'a Golden,
    report: &'a mut Report,
    theirs: String,
    ours: String,
}

impl Parts<'_> {
    /// What the sublayer read.
    fn input(&self, value: &str) -> Tensor {
        self.golden.tap(&format!("{}#0:{value}", self.theirs))
    }

    /// What a part of it gave.
    fn given(&self, part: &str) -> Tensor {
        self.golden.tap(&format!("{}/{part}#0:out", self.theirs))
    }

    fn layer(&mut self, part: &str, kind: Kind, path: &str, x: &Tensor) -> Result<()> {
        let name = format!("{}/{part}#0:out", self.theirs);
        let got = apply(self.golden, kind, &format!("{}.{path}", self.ours), x, &name)?;
        self.report.compare(self.golden, &name, &got);
        Ok(())
    }
}

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    for stack in stacks(golden) {
        if stack.c_m.is_some() {
            msa(golden, report, &stack)?;
        }
        pair(golden, report, &stack)?;
    }
    Ok(())
}

fn msa(golden: &Golden, report: &mut Report, stack: &Stack) -> Result<()> {
    let mut at = |theirs: &str, ours: &str, parts: &dyn Fn(&mut Parts<'_>) -> Result<()>| {
        let (theirs, ours) = (format!("{}/{theirs}", stack.theirs), format!("{}.0.{ours}", stack.blocks));
        parts(&mut Parts { golden, report, theirs, ours })
    };
    at("msa_row_attention_with_pair_bias", "msa_att_row", &|p| {
        p.layer("query_norm", Kind::Norm, "layer_norm_m", &p.input("in0"))?;
        p.layer("feat_2d_norm", Kind::Norm, "layer_norm_z", &p.input("pair_act"))
    })?;
    let (theirs, ours) = if stack.theirs.ends_with("extra_msa_stack") {
        ("msa_column_global_attention", "msa_att_col")
    } else {
        ("msa_column_attention", "msa_att_col._msa_att")
    };
    at(theirs, ours, &|p| {
        let columns = p.input("in0").transpose(0, 1)?.contiguous()?;
        p.layer("query_norm", Kind::Norm, "layer_norm_m", &columns)
    })?;
    at("msa_transition", "msa_transition", &transition)?;
    at("outer_product_mean", "outer_product_mean", &|p| {
        p.layer("layer_norm_input", Kind::Norm, "layer_norm", &p.input("in0"))?;
        let x = p.given("layer_norm_input");
        p.layer("left_projection", Kind::Linear, "linear_1", &x)?;
        p.layer("right_projection", Kind::Linear, "linear_2", &x)
    })
}

fn pair(golden: &Golden, report: &mut Report, stack: &Stack) -> Result<()> {
    let mut at = |theirs: &str, ours: &str, parts: &dyn Fn(&mut Parts<'_>) -> Result<()>| {
        let theirs = format!("{}/{theirs}", stack.theirs);
        let ours = format!("{}.0.{}{ours}", stack.blocks, stack.pair);
        parts(&mut Parts { golden, report, theirs, ours })
    };
    at("triangle_multiplication_outgoing", "tri_mul_out", &|p| multiplication(p, true))?;
    at("triangle_multiplication_incoming", "tri_mul_in", &|p| multiplication(p, false))?;
    for (theirs, ours, ending) in [
        ("triangle_attention_starting_node", "tri_att_start", false),
        ("triangle_attention_ending_node", "tri_att_end", true),
    ] {
        at(theirs, ours, &|p| {
            let x = p.input("in0");
            let x = if ending { x.transpose(0, 1)?.contiguous()? } else { x };
            p.layer("query_norm", Kind::Norm, "layer_norm", &x)
        })?;
    }
    at("pair_transition", "pair_transition", &transition)
}

fn transition(p: &mut Parts<'_>) -> Result<()> {
    p.layer("input_layer_norm", Kind::Norm, "layer_norm", &p.input("in0"))?;
    p.layer("transition1", Kind::Linear, "linear_1", &p.given("input_layer_norm"))?;
    p.layer("transition2", Kind::Linear, "linear_2", &ops::relu(&p.given("transition1"))?)
}

fn multiplication(p: &mut Parts<'_>, outgoing: bool) -> Result<()> {
    p.layer("layer_norm_input", Kind::Norm, "layer_norm_in", &p.input("in0"))?;
    let x = p.given("layer_norm_input");
    // AlphaFold's incoming update calls left what the paper calls b.
    let (left, right) = if outgoing { ("a", "b") } else { ("b", "a") };
    for (side, letter) in [("left", left), ("right", right)] {
        p.layer(&format!("{side}_projection"), Kind::Linear, &format!("linear_{letter}_p"), &x)?;
        p.layer(&format!("{side}_gate"), Kind::Linear, &format!("linear_{letter}_g"), &x)?;
    }
    let mask = p.input("in1").unsqueeze(2)?;
    // [r, r, c] → [c, r, r]
    let edges = |side: &str| -> Result<Tensor> {
        let gate = ops::sigmoid(&p.given(&format!("{side}_gate")))?;
        let x = (p.given(&format!("{side}_projection")) * gate)?.broadcast_mul(&mask)?;
        Ok(x.permute((2, 0, 1))?.contiguous()?)
    };
    let (left, right) = (edges("left")?, edges("right")?);
    let product = if outgoing {
        left.matmul(&right.t()?.contiguous()?)? // Σ_k l_ik r_jk
    } else {
        right.t()?.contiguous()?.matmul(&left)? // Σ_k r_ki l_kj
    };
    p.layer("center_layer_norm", Kind::Norm, "layer_norm_out", &product.permute((1, 2, 0))?.contiguous()?)?;
    p.layer("output_projection", Kind::Linear, "linear_z", &p.given("center_layer_norm"))?;
    p.layer("gating_linear", Kind::Linear, "linear_g", &x)
}
