//! Where configurations come from: presets by name, and AlphaFold's JSON.

use super::Config;
use crate::error::Error;
use serde::Deserialize;
use serde_json::Value;

pub(super) const MONOMER: &str = include_str!("../../../../data/presets/monomer.json");

impl Config {
    /// A published model by name: `model_1`…`model_5`, `…_ptm` (AF2 Suppl. Table 5), or OpenFold's
    /// `initial_training`, `finetuning_N`, `finetuning_ptm_N`, `finetuning_no_templ_N`, `finetuning_no_templ_ptm_N`.
    pub fn preset(name: &str) -> Option<Self> {
        let (templates, ptm) = match name {
            "initial_training" => (true, false),
            _ => {
                if let Some(rest) = name.strip_prefix("model_") {
                    let (number, ptm) = rest.strip_suffix("_ptm").map_or((rest, false), |n| (n, true));
                    let number: u32 = number.parse().ok().filter(|n| (1..=5).contains(n))?;
                    (number <= 2, ptm)
                } else {
                    let rest = name.strip_prefix("finetuning_")?;
                    let (rest, templates) =
                        rest.strip_prefix("no_templ_").map_or((rest, true), |r| (r, false));
                    let (rest, ptm) = rest.strip_prefix("ptm_").map_or((rest, false), |r| (r, true));
                    rest.parse::<u32>().ok()?;
                    (templates, ptm)
                }
            }
        };
        let mut config: Self = serde_json::from_str(MONOMER).expect("a committed file, covered by a test");
        config.embeddings_and_evoformer.template.enabled = templates;
        config.embeddings_and_evoformer.template.embed_torsion_angles = templates;
        if !ptm {
            config.heads.predicted_aligned_error = None;
        }
        Some(config)
    }

    /// From AlphaFold's configuration as JSON: the whole (with its `model` section) or that section.
    ///
    /// # Errors  Names the key that is missing or does not fit; multimers are refused.
    pub fn from_alphafold_json(value: &Value) -> Result<Self, Error> {
        let model = value.get("model").unwrap_or(value);
        let mut config: Self = Self::deserialize(model).map_err(|e| Error::Config(e.to_string()))?;
        if config.global_config.multimer_mode
            || config.embeddings_and_evoformer.evoformer.outer_product_mean.first
        {
            return Err(Error::Config("expected a monomer model, got a multimer's configuration".into()));
        }
        let heads = &mut config.heads;
        heads.distogram = heads.distogram.take().filter(|h| h.weight != 0.0);
        heads.masked_msa = heads.masked_msa.take().filter(|h| h.weight != 0.0);
        heads.experimentally_resolved = heads.experimentally_resolved.take().filter(|h| h.weight != 0.0);
        heads.predicted_lddt = heads.predicted_lddt.take().filter(|h| h.weight != 0.0);
        heads.predicted_aligned_error = heads.predicted_aligned_error.take().filter(|h| h.weight != 0.0);
        config.validate()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Along, Dropout, PairBlock};
    use super::*;

    #[test]
    fn presets_differ_where_table_5_says() {
        let p = |n: &str| Config::preset(n).unwrap();
        assert!(p("model_1").has_templates() && !p("model_1").has_pae());
        assert!(!p("model_3_ptm").has_templates() && p("model_3_ptm").has_pae());
        assert!(p("finetuning_no_templ_ptm_1").has_pae() && !p("finetuning_no_templ_ptm_1").has_templates());
        assert_eq!(p("model_2").blocks(), 52);
        for none in ["model_6", "model_", "finetuning_", "multimer_1_v3"] {
            assert!(Config::preset(none).is_none(), "{none}");
        }
    }

    /// The golden's configuration has other sizes, but AlphaFold's own dropout.
    #[test]
    fn presets_drop_out_what_alphafold_does() {
        let golden = include_str!("../../../../tests/golden/fold/config.json");
        let theirs = Config::from_alphafold_json(&serde_json::from_str(golden).unwrap()).unwrap();
        let rates = |config: &Config| {
            let t = &config.embeddings_and_evoformer;
            let of_pairs = |p: &PairBlock| {
                [
                    p.triangle_attention_starting_node.dropout,
                    p.triangle_attention_ending_node.dropout,
                    p.triangle_multiplication_outgoing.dropout,
                    p.triangle_multiplication_incoming.dropout,
                    p.pair_transition.dropout,
                ]
            };
            let of_rows = [
                t.evoformer.msa_row_attention_with_pair_bias.dropout,
                t.evoformer.msa_column_attention.dropout,
                t.evoformer.msa_transition.dropout,
                t.evoformer.outer_product_mean.dropout,
            ];
            let pairs = [&t.evoformer.pair, &t.template.template_pair_stack.pair].map(of_pairs);
            (of_rows, pairs, config.heads.structure_module.dropout)
        };
        let ours = rates(&Config::preset("model_1_ptm").unwrap());
        assert_eq!(ours, rates(&theirs));
        let columns = Dropout { rate: 0.25, shared: true, orientation: Along::PerColumn };
        assert_eq!((ours.0[0].rate, ours.1[0][1], ours.2), (0.15, columns, 0.1));
    }
}
