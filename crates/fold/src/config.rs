//! Sizes of the network, read from AlphaFold's configuration or from a preset.

use crate::error::Error;
use serde::Deserialize;
use serde_json::Value;

/// The `model` section of AlphaFold's configuration, as far as the network depends on it.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Embedders and the trunk.
    pub embeddings_and_evoformer: Trunk,
    /// Switches that hold everywhere.
    #[serde(default)]
    pub global_config: Global,
    /// Heads on the trunk.
    pub heads: Heads,
    /// Passes after the first.
    #[serde(default = "three")]
    pub num_recycle: usize,
    /// Whether every pass reads its own sample of the alignment.
    #[serde(default = "yes")]
    pub resample_msa_in_recycling: bool,
}

fn three() -> usize {
    3
}

fn yes() -> bool {
    true
}

/// Switches that hold everywhere.
#[derive(Debug, Clone, Deserialize)]
pub struct Global {
    /// AlphaFold initialises last layers with zeros; here it only chooses what stands for undefined
    /// template torsions (see numerics.md).
    #[serde(default = "yes")]
    pub zero_init: bool,
    /// Complexes, which this network is not.
    #[serde(default)]
    pub multimer_mode: bool,
}

impl Default for Global {
    fn default() -> Self {
        Self { zero_init: true, multimer_mode: false }
    }
}

/// Embedders, extra-MSA stack and Evoformer.
#[derive(Debug, Clone, Deserialize)]
pub struct Trunk {
    /// Sizes of a block.
    pub evoformer: Block,
    /// Blocks of the Evoformer.
    pub evoformer_num_block: usize,
    /// c_e.
    pub extra_msa_channel: usize,
    /// Blocks of the extra-MSA stack.
    pub extra_msa_stack_num_block: usize,
    /// Relative positions are clipped here; 0 = none are embedded.
    #[serde(default)]
    pub max_relative_feature: usize,
    /// c_m.
    pub msa_channel: usize,
    /// c_z.
    pub pair_channel: usize,
    /// c_s.
    pub seq_channel: usize,
    /// Distance bins of the recycled positions.
    pub prev_pos: Bins,
    /// Templates.
    pub template: Template,
    /// Add the previous pass's representations.
    #[serde(default = "yes")]
    pub recycle_features: bool,
    /// Add the previous pass's distances.
    #[serde(default = "yes")]
    pub recycle_pos: bool,
}

/// Equally spaced distance bins, Å.
#[derive(Debug, Clone, Deserialize)]
pub struct Bins {
    /// Left edge of the first.
    pub min_bin: f32,
    /// Left edge of the last.
    pub max_bin: f32,
    /// Their number.
    pub num_bins: usize,
}

/// Sizes of one Evoformer block.
#[derive(Debug, Clone, Deserialize)]
pub struct Block {
    /// MSA row attention.
    pub msa_row_attention_with_pair_bias: Attention,
    /// MSA column attention; global in the extra-MSA stack.
    pub msa_column_attention: Attention,
    /// MSA transition.
    pub msa_transition: Transition,
    /// Outer product mean.
    pub outer_product_mean: OuterProduct,
    /// The updates of the pair representation.
    #[serde(flatten)]
    pub pair: PairBlock,
}

/// Sizes of the pair updates of a block.
#[derive(Debug, Clone, Deserialize)]
pub struct PairBlock {
    /// Around the starting node.
    pub triangle_attention_starting_node: Attention,
    /// Around the ending node.
    pub triangle_attention_ending_node: Attention,
    /// Outgoing edges.
    pub triangle_multiplication_outgoing: Triangle,
    /// Incoming edges.
    pub triangle_multiplication_incoming: Triangle,
    /// Pair transition.
    pub pair_transition: Transition,
}

/// How much of an update training leaves out; nothing if the configuration does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub struct Dropout {
    /// Share of the values.
    #[serde(default, rename = "dropout_rate")]
    pub rate: f64,
    /// Whether one draw holds for all rows (or columns).
    #[serde(default, rename = "shared_dropout")]
    pub shared: bool,
    /// Which of them.
    #[serde(default)]
    pub orientation: Along,
}

/// What one draw holds for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Along {
    /// Everything along the first axis.
    #[default]
    PerRow,
    /// Everything along the second.
    PerColumn,
}

/// Sizes of an attention; key and value widths default to the input's.
#[derive(Debug, Clone, Deserialize)]
pub struct Attention {
    /// Heads.
    pub num_head: usize,
    /// All heads' keys together.
    pub key_dim: Option<usize>,
    /// All heads' values together.
    pub value_dim: Option<usize>,
    /// In training.
    #[serde(flatten)]
    pub dropout: Dropout,
}

/// Sizes of a transition.
#[derive(Debug, Clone, Deserialize)]
pub struct Transition {
    /// Hidden width over width.
    pub num_intermediate_factor: usize,
    /// In training.
    #[serde(flatten)]
    pub dropout: Dropout,
}

/// Sizes of the outer product mean.
#[derive(Debug, Clone, Deserialize)]
pub struct OuterProduct {
    /// Channels of each factor.
    pub num_outer_channel: usize,
    /// In training.
    #[serde(flatten)]
    pub dropout: Dropout,
    /// Before the MSA updates, as the multimer has it.
    #[serde(default)]
    pub first: bool,
}

/// Sizes of a triangle multiplication.
#[derive(Debug, Clone, Deserialize)]
pub struct Triangle {
    /// Channels of the edges.
    pub num_intermediate_channel: usize,
    /// In training.
    #[serde(flatten)]
    pub dropout: Dropout,
}

/// Template embedding.
#[derive(Debug, Clone, Deserialize)]
pub struct Template {
    /// Whether there is one.
    pub enabled: bool,
    /// Whether torsion angles become MSA rows.
    #[serde(default)]
    pub embed_torsion_angles: bool,
    /// Pointwise attention over templates.
    pub attention: Attention,
    /// Distance bins.
    pub dgram_features: Bins,
    /// The pair stack.
    pub template_pair_stack: TemplateStack,
    /// Directions between residues as features.
    #[serde(default)]
    pub use_template_unit_vector: bool,
}

/// Template pair stack.
#[derive(Debug, Clone, Deserialize)]
pub struct TemplateStack {
    /// Blocks.
    pub num_block: usize,
    /// Sizes of a block.
    #[serde(flatten)]
    pub pair: PairBlock,
}

/// Heads; one of weight 0 does not exist.
#[derive(Debug, Clone, Deserialize)]
pub struct Heads {
    /// Distances.
    pub distogram: Option<Distogram>,
    /// Masked residues of the alignment.
    pub masked_msa: Option<MaskedMsa>,
    /// Which atoms an experiment would see.
    pub experimentally_resolved: Option<Weighted>,
    /// pLDDT.
    pub predicted_lddt: Option<PredictedLddt>,
    /// PAE and pTM.
    pub predicted_aligned_error: Option<PredictedAlignedError>,
    /// Coordinates.
    pub structure_module: StructureModule,
}

/// A head without sizes.
#[derive(Debug, Clone, Deserialize)]
pub struct Weighted {
    /// Share in the loss; 0 = no such head.
    pub weight: f64,
}

/// Distogram head.
#[derive(Debug, Clone, Deserialize)]
pub struct Distogram {
    /// First edge, Å.
    pub first_break: f32,
    /// Last edge, Å.
    pub last_break: f32,
    /// Bins.
    pub num_bins: usize,
    /// Share in the loss; 0 = no such head.
    pub weight: f64,
}

/// Masked MSA head.
#[derive(Debug, Clone, Deserialize)]
pub struct MaskedMsa {
    /// Residue classes.
    pub num_output: usize,
    /// Share in the loss; 0 = no such head.
    pub weight: f64,
}

/// pLDDT head.
#[derive(Debug, Clone, Deserialize)]
pub struct PredictedLddt {
    /// Bins.
    pub num_bins: usize,
    /// Hidden width.
    pub num_channels: usize,
    /// Share in the loss; 0 = no such head.
    pub weight: f64,
}

/// PAE head.
#[derive(Debug, Clone, Deserialize)]
pub struct PredictedAlignedError {
    /// Left edge of the last bin, Å.
    pub max_error_bin: f32,
    /// Bins.
    pub num_bins: usize,
    /// Share in the loss; 0 = no such head.
    pub weight: f64,
}

/// Structure module.
#[derive(Debug, Clone, Deserialize)]
pub struct StructureModule {
    /// Layers, which share their weights.
    pub num_layer: usize,
    /// Width of the single representation inside.
    pub num_channel: usize,
    /// Attention heads.
    pub num_head: usize,
    /// Linear layers of the transition.
    pub num_layer_in_transition: usize,
    /// Query points a head.
    pub num_point_qk: usize,
    /// Value points a head.
    pub num_point_v: usize,
    /// Scalar query channels a head.
    pub num_scalar_qk: usize,
    /// Scalar value channels a head.
    pub num_scalar_v: usize,
    /// Å per unit of length.
    pub position_scale: f64,
    /// Torsion network.
    pub sidechain: Sidechain,
    /// Share of the single representation that training leaves out.
    #[serde(default)]
    pub dropout: f64,
}

/// Torsion network.
#[derive(Debug, Clone, Deserialize)]
pub struct Sidechain {
    /// Width.
    pub num_channel: usize,
    /// Residual blocks.
    pub num_residual_block: usize,
}

const MONOMER: &str = include_str!("../../../data/presets/monomer.json");

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

    /// Whether templates are read.
    pub fn has_templates(&self) -> bool {
        self.embeddings_and_evoformer.template.enabled
    }

    /// Whether there is a PAE head.
    pub fn has_pae(&self) -> bool {
        self.heads.predicted_aligned_error.is_some()
    }

    /// Blocks of one pass: extra-MSA stack and Evoformer.
    pub fn blocks(&self) -> usize {
        self.embeddings_and_evoformer.extra_msa_stack_num_block
            + self.embeddings_and_evoformer.evoformer_num_block
    }

    fn validate(&self) -> Result<(), Error> {
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

    /// c_t: AlphaFold takes it from the ending-node attention's value width.
    pub(crate) fn template_channel(&self) -> usize {
        let t = &self.embeddings_and_evoformer;
        t.template.template_pair_stack.pair.triangle_attention_ending_node.value_dim.unwrap_or(t.pair_channel)
    }
}

#[cfg(test)]
mod tests {
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
        let golden = include_str!("../../../tests/golden/fold/config.json");
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
