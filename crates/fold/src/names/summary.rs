//! What network a set of parameters belongs to, read from names and shapes.

use super::alphafold::layout_of;
use super::entries::{Layout, block_of};
use nn::files::Arrays;

/// The outline of a network, from its parameters under our names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Monomer or multimer, fused or not.
    pub layout: Layout,
    /// Has the template modules.
    pub templates: bool,
    /// Has the predicted-aligned-error head.
    pub ptm: bool,
    /// Evoformer blocks.
    pub evoformer_blocks: usize,
    /// Extra-MSA blocks.
    pub extra_msa_blocks: usize,
    /// Template pair blocks.
    pub template_blocks: usize,
    /// MSA channels c_m; 0 if unknown.
    pub c_m: usize,
    /// Pair channels c_z; 0 if unknown.
    pub c_z: usize,
    /// Single channels c_s; 0 if unknown.
    pub c_s: usize,
    /// Elements in all parameters.
    pub parameters: usize,
}

impl Summary {
    /// Reads the outline; what is not there counts 0.
    pub fn of(ours: &Arrays) -> Self {
        let blocks = |stack: &str| {
            let numbers = ours.keys().filter(|name| name.starts_with(stack)).filter_map(|n| block_of(n).1);
            numbers.max().map_or(0, |last| last + 1)
        };
        let rows = |name: &str| ours.get(name).and_then(|a| a.shape().first().copied()).unwrap_or(0);
        Self {
            layout: layout_of(ours),
            templates: ours.keys().any(|name| name.starts_with("template_embedder.")),
            ptm: ours.contains_key("aux_heads.tm.linear.weight"),
            evoformer_blocks: blocks("evoformer.blocks."),
            extra_msa_blocks: blocks("extra_msa_stack.blocks."),
            template_blocks: blocks("template_embedder.template_pair_stack.blocks."),
            c_m: rows("input_embedder.linear_msa_m.weight"),
            c_z: rows("input_embedder.linear_relpos.weight"),
            c_s: rows("evoformer.linear.weight"),
            parameters: ours.values().map(nn::files::Array::len).sum(),
        }
    }

    /// The published presets of this outline, `None` for a network of other sizes.
    pub fn preset(&self) -> Option<&'static str> {
        let sizes = (self.evoformer_blocks, self.extra_msa_blocks, self.c_m, self.c_z, self.c_s);
        if sizes != (48, 4, 256, 128, 384) {
            return None;
        }
        Some(match (self.layout.multimer, self.templates, self.ptm) {
            (true, _, _) if self.layout.fused => "multimer v3",
            (true, _, _) => "multimer v1 or v2",
            (false, true, false) => "model_1, model_2",
            (false, true, true) => "model_1_ptm, model_2_ptm",
            (false, false, false) => "model_3, model_4, model_5",
            (false, false, true) => "model_3_ptm, model_4_ptm, model_5_ptm",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::files::Array;

    #[test]
    fn outlines_a_network() {
        let zeros = |shape: &[usize]| Array::from_f32(shape, &vec![0.0; shape.iter().product()]);
        let ours: Arrays = [
            ("input_embedder.linear_msa_m.weight", zeros(&[256, 2])),
            ("input_embedder.linear_relpos.weight", zeros(&[128, 3])),
            ("evoformer.linear.weight", zeros(&[384, 1])),
            ("evoformer.blocks.47.msa_transition.linear_1.bias", zeros(&[5])),
            ("extra_msa_stack.blocks.3.msa_transition.linear_1.bias", zeros(&[7])),
            ("aux_heads.tm.linear.weight", zeros(&[1, 1])),
        ]
        .map(|(name, array)| (name.to_string(), array))
        .into();
        let summary = Summary::of(&ours);
        assert_eq!(summary.preset(), Some("model_3_ptm, model_4_ptm, model_5_ptm"));
        assert_eq!(summary.parameters, 512 + 384 + 384 + 5 + 7 + 1);
        assert_eq!(
            Summary { templates: true, ptm: false, ..summary.clone() }.preset(),
            Some("model_1, model_2")
        );
        assert_eq!(Summary { evoformer_blocks: 2, ..summary }.preset(), None);
    }
}
