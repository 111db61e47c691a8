//! AlphaFold's configuration: the keys of each section, and the values that are followed.

/// Blocks of the pair representation: they exist in the Evoformer and in the template stack.
const PAIR: &[&str] = &[
    "triangle_attention_starting_node",
    "triangle_attention_ending_node",
    "triangle_multiplication_outgoing",
    "triangle_multiplication_incoming",
    "pair_transition",
];

/// Keys of each section below `model`, as google-deepmind/alphafold and the ColabFold wheel have them. A
/// section of the Evoformer goes by its own name: it means the same wherever it stands.
pub const KNOWN: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "embeddings_and_evoformer",
            "global_config",
            "heads",
            "num_recycle",
            "resample_msa_in_recycling",
            // How a run is steered and ranked, which `--recycles` and the caller do here.
            "num_ensemble_eval",
            "num_ensemble_train",
            "recycle_early_stop_tolerance",
            "stop_at_score",
            "rank_by",
            "calc_extended_ptm",
            "use_probs_extra",
        ],
    ),
    (
        "global_config",
        &[
            "zero_init",
            "multimer_mode",
            // How the same numbers are computed.
            "bfloat16",
            "bfloat16_output",
            "half_dtype",
            "deterministic",
            "subbatch_size",
            "use_remat",
            "use_pallas",
            "kernel_backend",
            "compute_capability",
            "length_buckets",
            "use_dgram",
            "eval_dropout",
            "fp8",
        ],
    ),
    (
        "embeddings_and_evoformer",
        &[
            "evoformer",
            "evoformer_num_block",
            "extra_msa_channel",
            "extra_msa_stack_num_block",
            "max_relative_feature",
            "msa_channel",
            "pair_channel",
            "prev_pos",
            "recycle_features",
            "recycle_pos",
            "seq_channel",
            "template",
        ],
    ),
    ("prev_pos", BINS),
    ("dgram_features", BINS),
    (
        "evoformer",
        &[
            "msa_row_attention_with_pair_bias",
            "msa_column_attention",
            "msa_transition",
            "outer_product_mean",
            PAIR[0],
            PAIR[1],
            PAIR[2],
            PAIR[3],
            PAIR[4],
        ],
    ),
    ("template_pair_stack", &["num_block", PAIR[0], PAIR[1], PAIR[2], PAIR[3], PAIR[4]]),
    ("msa_row_attention_with_pair_bias", ATTENTION),
    ("msa_column_attention", ATTENTION),
    ("triangle_attention_starting_node", ATTENTION),
    ("triangle_attention_ending_node", ATTENTION),
    ("attention", ATTENTION),
    ("msa_transition", TRANSITION),
    ("pair_transition", TRANSITION),
    (
        "outer_product_mean",
        &["first", "chunk_size", "dropout_rate", "num_outer_channel", "orientation", "shared_dropout"],
    ),
    ("triangle_multiplication_outgoing", TRIANGLE),
    ("triangle_multiplication_incoming", TRIANGLE),
    (
        "template",
        &[
            "attention",
            "dgram_features",
            "embed_torsion_angles",
            "enabled",
            "max_templates",
            "subbatch_size",
            "template_pair_stack",
            "use_template_unit_vector",
        ],
    ),
    (
        "heads",
        &[
            "distogram",
            "masked_msa",
            "experimentally_resolved",
            "predicted_lddt",
            "predicted_aligned_error",
            "structure_module",
        ],
    ),
    ("distogram", &["first_break", "last_break", "num_bins", "weight"]),
    ("masked_msa", &["num_output", "weight"]),
    ("experimentally_resolved", CONFIDENCE),
    ("predicted_lddt", CONFIDENCE),
    ("predicted_aligned_error", CONFIDENCE),
    (
        "structure_module",
        &[
            "num_layer",
            "fape",
            "angle_norm_weight",
            "chi_weight",
            "clash_overlap_tolerance",
            "compute_in_graph_metrics",
            "dropout",
            "num_channel",
            "num_head",
            "num_layer_in_transition",
            "num_point_qk",
            "num_point_v",
            "num_scalar_qk",
            "num_scalar_v",
            "position_scale",
            "sidechain",
            "structural_violation_loss_weight",
            "violation_tolerance_factor",
            "weight",
        ],
    ),
    ("fape", &["clamp_distance", "clamp_type", "loss_unit_distance"]),
    (
        "sidechain",
        &["atom_clamp_distance", "length_scale", "num_channel", "num_residual_block", "weight_frac"],
    ),
];

const BINS: &[&str] = &["min_bin", "max_bin", "num_bins"];
const ATTENTION: &[&str] =
    &["dropout_rate", "gating", "num_head", "orientation", "shared_dropout", "key_dim", "value_dim"];
const TRANSITION: &[&str] = &["dropout_rate", "num_intermediate_factor", "orientation", "shared_dropout"];
const TRIANGLE: &[&str] = &[
    "dropout_rate",
    "equation",
    "num_intermediate_channel",
    "orientation",
    "shared_dropout",
    "fuse_projection_weights",
];
const CONFIDENCE: &[&str] = &[
    "filter_by_resolution",
    "max_resolution",
    "min_resolution",
    "max_error_bin",
    "num_bins",
    "num_channels",
    "weight",
];

/// The only value followed, by the end of the key's path.
pub const FIXED: &[(&str, &str)] = &[
    ("global_config.multimer_mode", "false"),
    ("global_config.eval_dropout", "false"),
    ("global_config.fp8", "false"),
    ("msa_row_attention_with_pair_bias.gating", "true"),
    ("msa_column_attention.gating", "true"),
    ("triangle_attention_starting_node.gating", "true"),
    ("triangle_attention_ending_node.gating", "true"),
    ("template.attention.gating", "false"),
    ("msa_row_attention_with_pair_bias.orientation", "\"per_row\""),
    ("msa_column_attention.orientation", "\"per_column\""),
    ("triangle_attention_starting_node.orientation", "\"per_row\""),
    ("triangle_attention_ending_node.orientation", "\"per_column\""),
    ("triangle_multiplication_outgoing.equation", "\"ikc,jkc->ijc\""),
    ("triangle_multiplication_incoming.equation", "\"kjc,kic->ijc\""),
    ("outer_product_mean.first", "false"),
];
