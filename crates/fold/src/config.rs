//! Sizes of the network, read from AlphaFold's configuration or from a preset.

use serde::Deserialize;

mod check;
mod read;

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

impl Config {
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

    /// c_t: AlphaFold takes it from the ending-node attention's value width.
    pub(crate) fn template_channel(&self) -> usize {
        let t = &self.embeddings_and_evoformer;
        t.template.template_pair_stack.pair.triangle_attention_ending_node.value_dim.unwrap_or(t.pair_channel)
    }
}
