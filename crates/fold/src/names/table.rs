//! The table: which AlphaFold parameter is which of ours, and how its axes lie.
//!
//! Read from AlphaFold's `model/modules*.py` (what each Haiku module creates) and OpenFold's
//! `model/*.py` (what each Torch module is called). Ours are OpenFold's names.

/// How an AlphaFold array becomes ours. Every one only moves elements, so each has an exact inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axes {
    /// Unchanged.
    Same,
    /// [in, out] → [out, in].
    Linear,
    /// [out] → [out, 1]: a linear from one scalar.
    Scalar,
    /// [in, h, d] → [h·d, in].
    HeadsIn,
    /// [h, d] → [h·d].
    HeadsBias,
    /// [h, d, out] → [out, h·d].
    HeadsOut,
    /// As `Linear`, then the two halves of the first axis exchanged.
    SwappedLinear,
    /// [2c] with its two halves exchanged.
    SwappedBias,
}

/// Where the number of heads (or of outer channels) is found when ours is turned back. Paths start
/// where the group that carries them stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Split {
    /// Rows of this tensor of ours.
    Rows(&'static str),
    /// Rows of the first divided by rows of the second.
    Ratio(&'static str, &'static str),
    /// [`super::Heads::msa_column`].
    MsaColumn,
    /// [`super::Heads::template_pointwise`].
    TemplatePointwise,
}

/// In which networks an item exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Monomer,
    Multimer,
    /// Triangle multiplication with four separate projections (monomer, multimer v1 and v2).
    Separate,
    /// Triangle multiplication with fused projections (multimer v3).
    Fused,
}

/// A row of the table: a parameter, or a group of rows below a scope.
pub(super) struct Item {
    /// AlphaFold's scope or name; empty if the group adds no scope.
    pub af: &'static str,
    /// Our path; `{}` stands for the block.
    pub ours: &'static str,
    pub split: Option<Split>,
    pub when: When,
    pub node: Node,
}

pub(super) enum Node {
    Leaf(Axes),
    Group(&'static [Item]),
    /// As a group, its arrays stacked over blocks along a first axis.
    Stack(&'static [Item]),
    /// A group repeated: AlphaFold's scope has the suffixes "", "_1", "_2", …; in our path `{}` counts from
    /// the number given.
    Repeat(usize, &'static [Item]),
}

const fn leaf(af: &'static str, ours: &'static str, axes: Axes) -> Item {
    Item { af, ours, split: None, when: When::Always, node: Node::Leaf(axes) }
}

const fn group(af: &'static str, ours: &'static str, items: &'static [Item]) -> Item {
    Item { af, ours, split: None, when: When::Always, node: Node::Group(items) }
}

const fn stack(af: &'static str, ours: &'static str, items: &'static [Item]) -> Item {
    Item { af, ours, split: None, when: When::Always, node: Node::Stack(items) }
}

const fn repeat(af: &'static str, ours: &'static str, from: usize) -> Item {
    Item { af, ours, split: None, when: When::Always, node: Node::Repeat(from, LINEAR) }
}

impl Item {
    const fn split(self, split: Split) -> Self {
        let Self { af, ours, when, node, .. } = self;
        // `node` holds only references: nothing is dropped here, so this may run at compile time.
        Self { af, ours, split: Some(split), when, node }
    }

    const fn when(self, when: When) -> Self {
        let Self { af, ours, split, node, .. } = self;
        Self { af, ours, split, when, node }
    }
}

const LINEAR: &[Item] = &[leaf("weights", "weight", Axes::Linear), leaf("bias", "bias", Axes::Same)];

const SCALAR_LINEAR: &[Item] = &[leaf("weights", "weight", Axes::Scalar), leaf("bias", "bias", Axes::Same)];

const SWAPPED_LINEAR: &[Item] =
    &[leaf("weights", "weight", Axes::SwappedLinear), leaf("bias", "bias", Axes::SwappedBias)];

const NORM: &[Item] = &[leaf("scale", "weight", Axes::Same), leaf("offset", "bias", Axes::Same)];

const ATTENTION: &[Item] = &[
    leaf("query_w", "linear_q.weight", Axes::HeadsIn),
    leaf("key_w", "linear_k.weight", Axes::HeadsIn),
    leaf("value_w", "linear_v.weight", Axes::HeadsIn),
    leaf("output_w", "linear_o.weight", Axes::HeadsOut),
    leaf("output_b", "linear_o.bias", Axes::Same),
];

const GATE: &[Item] =
    &[leaf("gating_w", "linear_g.weight", Axes::HeadsIn), leaf("gating_b", "linear_g.bias", Axes::HeadsBias)];

const GATED_ATTENTION: &[Item] = &[group("", "", ATTENTION), group("", "", GATE)];

/// Keys and values have no head axis.
const GLOBAL_ATTENTION: &[Item] = &[
    leaf("query_w", "linear_q.weight", Axes::HeadsIn),
    leaf("key_w", "linear_k.weight", Axes::Linear),
    leaf("value_w", "linear_v.weight", Axes::Linear),
    leaf("output_w", "linear_o.weight", Axes::HeadsOut),
    leaf("output_b", "linear_o.bias", Axes::Same),
    group("", "", GATE),
];

const MSA_ROW: &[Item] = &[
    group("query_norm", "layer_norm_m", NORM),
    group("feat_2d_norm", "layer_norm_z", NORM),
    leaf("feat_2d_weights", "linear_z.weight", Axes::Linear),
    group("attention", "mha", GATED_ATTENTION).split(Split::Rows("linear_z.weight")),
];

const MSA_COLUMN: &[Item] = &[
    group("query_norm", "layer_norm_m", NORM),
    group("attention", "mha", GATED_ATTENTION).split(Split::MsaColumn),
];

const MSA_COLUMN_GLOBAL: &[Item] = &[
    group("query_norm", "layer_norm_m", NORM),
    group("attention", "global_attention", GLOBAL_ATTENTION)
        .split(Split::Ratio("global_attention.linear_q.weight", "global_attention.linear_k.weight")),
];

const TRIANGLE_ATTENTION: &[Item] = &[
    group("query_norm", "layer_norm", NORM),
    leaf("feat_2d_weights", "linear.weight", Axes::Linear),
    group("attention", "mha", GATED_ATTENTION).split(Split::Rows("linear.weight")),
];

const TRIANGLE_NORMS: &[Item] = &[
    group("layer_norm_input", "layer_norm_in", NORM).when(When::Separate),
    group("center_layer_norm", "layer_norm_out", NORM).when(When::Separate),
    group("left_norm_input", "layer_norm_in", NORM).when(When::Fused),
    group("center_norm", "layer_norm_out", NORM).when(When::Fused),
    group("output_projection", "linear_z", LINEAR),
    group("gating_linear", "linear_g", LINEAR),
];

const TRIANGLE_OUTGOING: &[Item] = &[
    group("", "", TRIANGLE_NORMS),
    group("left_projection", "linear_a_p", LINEAR).when(When::Separate),
    group("right_projection", "linear_b_p", LINEAR).when(When::Separate),
    group("left_gate", "linear_a_g", LINEAR).when(When::Separate),
    group("right_gate", "linear_b_g", LINEAR).when(When::Separate),
    group("projection", "linear_ab_p", LINEAR).when(When::Fused),
    group("gate", "linear_ab_g", LINEAR).when(When::Fused),
];

/// AlphaFold's incoming update calls left what the paper and OpenFold call b.
const TRIANGLE_INCOMING: &[Item] = &[
    group("", "", TRIANGLE_NORMS),
    group("left_projection", "linear_b_p", LINEAR).when(When::Separate),
    group("right_projection", "linear_a_p", LINEAR).when(When::Separate),
    group("left_gate", "linear_b_g", LINEAR).when(When::Separate),
    group("right_gate", "linear_a_g", LINEAR).when(When::Separate),
    group("projection", "linear_ab_p", SWAPPED_LINEAR).when(When::Fused),
    group("gate", "linear_ab_g", SWAPPED_LINEAR).when(When::Fused),
];

const TRANSITION: &[Item] = &[
    group("input_layer_norm", "layer_norm", NORM),
    group("transition1", "linear_1", LINEAR),
    group("transition2", "linear_2", LINEAR),
];

const OUTER_PRODUCT_MEAN: &[Item] = &[
    group("layer_norm_input", "layer_norm", NORM),
    group("left_projection", "linear_1", LINEAR),
    group("right_projection", "linear_2", LINEAR),
    leaf("output_w", "linear_out.weight", Axes::HeadsOut).split(Split::Rows("linear_1.weight")),
    leaf("output_b", "linear_out.bias", Axes::Same),
];

const PAIR_BLOCK: &[Item] = &[
    group("triangle_multiplication_outgoing", "tri_mul_out", TRIANGLE_OUTGOING),
    group("triangle_multiplication_incoming", "tri_mul_in", TRIANGLE_INCOMING),
    group("triangle_attention_starting_node", "tri_att_start", TRIANGLE_ATTENTION),
    group("triangle_attention_ending_node", "tri_att_end", TRIANGLE_ATTENTION),
    group("pair_transition", "pair_transition", TRANSITION),
];

const BLOCK: &[Item] = &[
    group("msa_row_attention_with_pair_bias", "msa_att_row", MSA_ROW),
    group("msa_transition", "msa_transition", TRANSITION),
    group("outer_product_mean", "outer_product_mean", OUTER_PRODUCT_MEAN),
    group("", "pair_stack", PAIR_BLOCK),
];

const EVOFORMER_BLOCK: &[Item] =
    &[group("", "", BLOCK), group("msa_column_attention", "msa_att_col._msa_att", MSA_COLUMN)];

const EXTRA_BLOCK: &[Item] =
    &[group("", "", BLOCK), group("msa_column_global_attention", "msa_att_col", MSA_COLUMN_GLOBAL)];

const MONOMER_TEMPLATE: &[Item] = &[
    group("single_template_embedding/embedding2d", "template_pair_embedder.linear", LINEAR),
    stack(
        "single_template_embedding/template_pair_stack/__layer_stack_no_state",
        "template_pair_stack.blocks.{}",
        PAIR_BLOCK,
    ),
    group("single_template_embedding/output_layer_norm", "template_pair_stack.layer_norm", NORM),
    group("attention", "template_pointwise_att.mha", ATTENTION).split(Split::TemplatePointwise),
];

const MULTIMER_TEMPLATE: &[Item] = &[
    group("query_embedding_norm", "template_pair_embedder.query_embedding_layer_norm", NORM),
    group("template_pair_embedding_0", "template_pair_embedder.dgram_linear", LINEAR),
    group("template_pair_embedding_1", "template_pair_embedder.pseudo_beta_mask_linear", SCALAR_LINEAR),
    group("template_pair_embedding_2", "template_pair_embedder.aatype_linear_1", LINEAR),
    group("template_pair_embedding_3", "template_pair_embedder.aatype_linear_2", LINEAR),
    group("template_pair_embedding_4", "template_pair_embedder.x_linear", SCALAR_LINEAR),
    group("template_pair_embedding_5", "template_pair_embedder.y_linear", SCALAR_LINEAR),
    group("template_pair_embedding_6", "template_pair_embedder.z_linear", SCALAR_LINEAR),
    group("template_pair_embedding_7", "template_pair_embedder.backbone_mask_linear", SCALAR_LINEAR),
    group("template_pair_embedding_8", "template_pair_embedder.query_embedding_linear", LINEAR),
    stack("template_embedding_iteration", "template_pair_stack.blocks.{}", PAIR_BLOCK),
    group("output_layer_norm", "template_pair_stack.layer_norm", NORM),
];

const EVOFORMER: &[Item] = &[
    group("preprocess_1d", "input_embedder.linear_tf_m", LINEAR),
    group("preprocess_msa", "input_embedder.linear_msa_m", LINEAR),
    group("left_single", "input_embedder.linear_tf_z_i", LINEAR),
    group("right_single", "input_embedder.linear_tf_z_j", LINEAR),
    // Spelt so by AlphaFold.
    group("pair_activiations", "input_embedder.linear_relpos", LINEAR).when(When::Monomer),
    group("~_relative_encoding/position_activations", "input_embedder.linear_relpos", LINEAR)
        .when(When::Multimer),
    group("prev_pos_linear", "recycling_embedder.linear", LINEAR),
    group("prev_msa_first_row_norm", "recycling_embedder.layer_norm_m", NORM),
    group("prev_pair_norm", "recycling_embedder.layer_norm_z", NORM),
    group("extra_msa_activations", "extra_msa_embedder.linear", LINEAR),
    stack("extra_msa_stack", "extra_msa_stack.blocks.{}", EXTRA_BLOCK),
    stack("evoformer_iteration", "evoformer.blocks.{}", EVOFORMER_BLOCK),
    group("single_activations", "evoformer.linear", LINEAR),
    group("template_embedding", "template_embedder", MONOMER_TEMPLATE).when(When::Monomer),
    group("template_single_embedding", "template_embedder.template_single_embedder.linear_1", LINEAR)
        .when(When::Monomer),
    group("template_projection", "template_embedder.template_single_embedder.linear_2", LINEAR)
        .when(When::Monomer),
    group("template_embedding/single_template_embedding", "template_embedder", MULTIMER_TEMPLATE)
        .when(When::Multimer),
    group("template_embedding/output_linear", "template_embedder.linear_t", LINEAR).when(When::Multimer),
    group(
        "template_single_embedding",
        "template_embedder.template_single_embedder.template_single_embedder",
        LINEAR,
    )
    .when(When::Multimer),
    group("template_projection", "template_embedder.template_single_embedder.template_projector", LINEAR)
        .when(When::Multimer),
];

const SCALARS: &[Item] = &[leaf("weights", "weight", Axes::HeadsIn)];

const POINTS: &[Item] = &[leaf("weights", "weight", Axes::HeadsIn), leaf("bias", "bias", Axes::HeadsBias)];

/// Multimer keeps the head axis of its projections: [in, h, d].
const MULTIMER_IPA: &[Item] = &[
    group("q_scalar_projection", "linear_q", SCALARS).split(Split::Rows("head_weights")),
    group("k_scalar_projection", "linear_k", SCALARS).split(Split::Rows("head_weights")),
    group("v_scalar_projection", "linear_v", SCALARS).split(Split::Rows("head_weights")),
    group("q_point_projection/point_projection", "linear_q_points.linear", POINTS)
        .split(Split::Rows("head_weights")),
    group("k_point_projection/point_projection", "linear_k_points.linear", POINTS)
        .split(Split::Rows("head_weights")),
    group("v_point_projection/point_projection", "linear_v_points.linear", POINTS)
        .split(Split::Rows("head_weights")),
];

const IPA: &[Item] = &[
    // Points of all heads lie x first, then y, then z; OpenFold keeps that order.
    group("q_scalar", "linear_q", LINEAR).when(When::Monomer),
    group("kv_scalar", "linear_kv", LINEAR).when(When::Monomer),
    group("q_point_local", "linear_q_points.linear", LINEAR).when(When::Monomer),
    group("kv_point_local", "linear_kv_points.linear", LINEAR).when(When::Monomer),
    group("", "", MULTIMER_IPA).when(When::Multimer),
    leaf("trainable_point_weights", "head_weights", Axes::Same),
    group("attention_2d", "linear_b", LINEAR),
    group("output_projection", "linear_out", LINEAR),
];

/// One set for all layers: the structure module shares its weights.
const FOLD_ITERATION: &[Item] = &[
    group("invariant_point_attention", "ipa", IPA),
    group("attention_layer_norm", "layer_norm_ipa", NORM),
    repeat("transition", "transition.layers.0.linear_{}", 1),
    group("transition_layer_norm", "transition.layer_norm", NORM),
    group("affine_update", "bb_update.linear", LINEAR).when(When::Monomer),
    group("quat_rigid/rigid", "bb_update.linear", LINEAR).when(When::Multimer),
    group("rigid_sidechain/input_projection", "angle_resnet.linear_in", LINEAR),
    group("rigid_sidechain/input_projection_1", "angle_resnet.linear_initial", LINEAR),
    repeat("rigid_sidechain/resblock1", "angle_resnet.layers.{}.linear_1", 0),
    repeat("rigid_sidechain/resblock2", "angle_resnet.layers.{}.linear_2", 0),
    group("rigid_sidechain/unnormalized_angles", "angle_resnet.linear_out", LINEAR),
];

const STRUCTURE_MODULE: &[Item] = &[
    group("single_layer_norm", "layer_norm_s", NORM),
    group("initial_projection", "linear_in", LINEAR),
    group("pair_layer_norm", "layer_norm_z", NORM),
    group("fold_iteration", "", FOLD_ITERATION),
];

const LDDT_HEAD: &[Item] = &[
    group("input_layer_norm", "layer_norm", NORM),
    group("act_0", "linear_1", LINEAR),
    group("act_1", "linear_2", LINEAR),
    group("logits", "linear_3", LINEAR),
];

/// The whole network.
pub(super) const NETWORK: &[Item] = &[
    group("evoformer", "", EVOFORMER),
    group("structure_module", "structure_module", STRUCTURE_MODULE),
    group("predicted_lddt_head", "aux_heads.plddt", LDDT_HEAD),
    group("distogram_head/half_logits", "aux_heads.distogram.linear", LINEAR),
    group("masked_msa_head/logits", "aux_heads.masked_msa.linear", LINEAR),
    group("experimentally_resolved_head/logits", "aux_heads.experimentally_resolved.linear", LINEAR),
    group("predicted_aligned_error_head/logits", "aux_heads.tm.linear", LINEAR),
];
