//! Configurations of networks that cannot be.

use super::{Attention, Config};
use crate::error::Error;

impl Config {
    /// # Errors  Names what no network has.
    pub(super) fn validate(&self) -> Result<(), Error> {
        self.counts()?;
        let t = &self.embeddings_and_evoformer;
        let (c_m, c_z, c_e) = (t.msa_channel, t.pair_channel, t.extra_msa_channel);
        let fits = |what: &str, a: &Attention, width: usize| {
            let (k, v) = (a.key_dim.unwrap_or(width), a.value_dim.unwrap_or(width));
            if a.num_head == 0 || k % a.num_head != 0 || v % a.num_head != 0 || k == 0 || v == 0 {
                return Err(Error::Config(format!(
                    "{what}: expected widths that {} heads divide, got keys {k}, values {v}",
                    a.num_head
                )));
            }
            Ok(())
        };
        let e = &t.evoformer;
        fits("msa_row_attention_with_pair_bias", &e.msa_row_attention_with_pair_bias, c_m)?;
        fits("msa_row_attention_with_pair_bias (extra)", &e.msa_row_attention_with_pair_bias, c_e)?;
        fits("msa_column_attention", &e.msa_column_attention, c_m)?;
        fits("msa_column_attention (extra)", &e.msa_column_attention, c_e)?;
        fits("triangle_attention_starting_node", &e.pair.triangle_attention_starting_node, c_z)?;
        fits("triangle_attention_ending_node", &e.pair.triangle_attention_ending_node, c_z)?;
        if t.template.enabled {
            let (p, c_t) = (&t.template.template_pair_stack.pair, self.template_channel());
            fits("template triangle_attention_starting_node", &p.triangle_attention_starting_node, c_t)?;
            fits("template triangle_attention_ending_node", &p.triangle_attention_ending_node, c_t)?;
            fits("template attention", &t.template.attention, c_z)?;
        }
        Ok(())
    }

    /// Sizes that no network has: none where there must be one, or so many that a typing error is likelier.
    fn counts(&self) -> Result<(), Error> {
        const MOST: usize = 1 << 16;
        let (t, s) = (&self.embeddings_and_evoformer, &self.heads.structure_module);
        let bins = |head: Option<usize>| head.unwrap_or(2);
        let heads = &self.heads;
        for (what, least, n) in [
            ("msa_channel", 1, t.msa_channel),
            ("pair_channel", 1, t.pair_channel),
            ("seq_channel", 1, t.seq_channel),
            ("extra_msa_channel", 1, t.extra_msa_channel),
            ("max_relative_feature", 0, t.max_relative_feature),
            ("evoformer_num_block", 0, t.evoformer_num_block),
            ("extra_msa_stack_num_block", 0, t.extra_msa_stack_num_block),
            ("num_outer_channel", 1, t.evoformer.outer_product_mean.num_outer_channel),
            ("prev_pos.num_bins", 2, t.prev_pos.num_bins),
            ("dgram_features.num_bins", 2, t.template.dgram_features.num_bins),
            ("template_pair_stack.num_block", 0, t.template.template_pair_stack.num_block),
            ("structure_module.num_layer", 1, s.num_layer),
            ("structure_module.num_channel", 1, s.num_channel),
            ("structure_module.num_head", 1, s.num_head),
            ("structure_module.num_layer_in_transition", 0, s.num_layer_in_transition),
            ("structure_module.num_point_qk", 1, s.num_point_qk),
            ("structure_module.num_point_v", 1, s.num_point_v),
            ("structure_module.num_scalar_qk", 1, s.num_scalar_qk),
            ("structure_module.num_scalar_v", 1, s.num_scalar_v),
            ("sidechain.num_channel", 1, s.sidechain.num_channel),
            ("sidechain.num_residual_block", 0, s.sidechain.num_residual_block),
            ("distogram.num_bins", 2, bins(heads.distogram.as_ref().map(|h| h.num_bins))),
            ("predicted_lddt.num_bins", 1, bins(heads.predicted_lddt.as_ref().map(|h| h.num_bins))),
            (
                "predicted_aligned_error.num_bins",
                2,
                bins(heads.predicted_aligned_error.as_ref().map(|h| h.num_bins)),
            ),
        ] {
            if !(least..=MOST).contains(&n) {
                return Err(Error::Config(format!("{what}: expected {least} to {MOST}, got {n}")));
            }
        }
        if !(s.position_scale > 0.0 && s.position_scale.is_finite()) {
            let got = s.position_scale;
            return Err(Error::Config(format!("position_scale: expected a positive number, got {got}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::MONOMER;
    use crate::Config;
    use serde_json::Value;

    #[test]
    fn heads_that_do_not_divide_are_refused() {
        let mut v: Value = serde_json::from_str(MONOMER).unwrap();
        v["embeddings_and_evoformer"]["msa_channel"] = 250.into();
        let text = Config::from_alphafold_json(&v).unwrap_err().to_string();
        assert!(text.contains("msa_row_attention_with_pair_bias") && text.contains("250"), "{text}");
    }

    #[test]
    fn sizes_no_network_has_are_refused() {
        for (at, n, says) in [
            (
                "/embeddings_and_evoformer/evoformer_num_block",
                10u64.pow(12),
                "evoformer_num_block: expected 0 to",
            ),
            ("/embeddings_and_evoformer/prev_pos/num_bins", 1, "prev_pos.num_bins: expected 2 to"),
            ("/heads/structure_module/num_layer", 0, "structure_module.num_layer: expected 1 to"),
        ] {
            let mut v: Value = serde_json::from_str(MONOMER).unwrap();
            *v.pointer_mut(at).unwrap() = n.into();
            let text = Config::from_alphafold_json(&v).unwrap_err().to_string();
            assert!(text.contains(says), "{text}");
        }
    }
}
