//! Linear layers and layer norms that have a name and a recorded input of their own in AlphaFold.

use super::golden::Golden;
use super::report::Report;
use crate::Result;
use crate::layers::{Linear, Norm};
use candle_core::Tensor;

#[derive(Clone, Copy)]
pub enum Kind {
    Linear,
    Norm,
}

use Kind::{Linear as L, Norm as N};

/// Applies the layer whose parameters are at `path`; its width is that of the golden value `name`.
pub fn apply(golden: &Golden, kind: Kind, path: &str, x: &Tensor, name: &str) -> Result<Tensor> {
    let p = golden.params.sub(path);
    let width = |t: &Tensor| t.dims()[t.rank() - 1];
    Ok(match kind {
        Kind::Linear => Linear::load(&p, width(x), width(&golden.wanted(name)))?.forward(x)?,
        Kind::Norm => Norm::load(&p, width(x))?.forward(x)?,
    })
}

/// Layers below a scope of AlphaFold's: module, kind, path of our parameters.
struct Scope {
    theirs: &'static str,
    ours: &'static str,
    layers: &'static [(&'static str, Kind, &'static str)],
}

const SCOPES: [Scope; 11] = [
    Scope {
        theirs: "evoformer",
        ours: "input_embedder",
        layers: &[
            ("preprocess_1d", L, "linear_tf_m"),
            ("preprocess_msa", L, "linear_msa_m"),
            ("left_single", L, "linear_tf_z_i"),
            ("right_single", L, "linear_tf_z_j"),
            ("pair_activiations", L, "linear_relpos"), // spelt so by AlphaFold
        ],
    },
    Scope {
        theirs: "evoformer",
        ours: "recycling_embedder",
        layers: &[
            ("prev_pos_linear", L, "linear"),
            ("prev_msa_first_row_norm", N, "layer_norm_m"),
            ("prev_pair_norm", N, "layer_norm_z"),
        ],
    },
    Scope {
        theirs: "evoformer",
        ours: "template_embedder.template_single_embedder",
        layers: &[("template_single_embedding", L, "linear_1"), ("template_projection", L, "linear_2")],
    },
    Scope {
        theirs: "evoformer/template_embedding/single_template_embedding",
        ours: "template_embedder",
        layers: &[
            ("embedding2d", L, "template_pair_embedder.linear"),
            ("output_layer_norm", N, "template_pair_stack.layer_norm"),
        ],
    },
    Scope {
        theirs: "evoformer",
        ours: "",
        layers: &[
            ("extra_msa_activations", L, "extra_msa_embedder.linear"),
            ("single_activations", L, "evoformer.linear"),
        ],
    },
    Scope {
        theirs: "structure_module",
        ours: "structure_module",
        layers: &[
            ("single_layer_norm", N, "layer_norm_s"),
            ("initial_projection", L, "linear_in"),
            ("pair_layer_norm", N, "layer_norm_z"),
        ],
    },
    Scope {
        theirs: "structure_module/fold_iteration",
        ours: "structure_module",
        layers: &[
            ("attention_layer_norm", N, "layer_norm_ipa"),
            ("transition", L, "transition.layers.0.linear_1"),
            ("transition_1", L, "transition.layers.0.linear_2"),
            ("transition_2", L, "transition.layers.0.linear_3"),
            ("transition_layer_norm", N, "transition.layer_norm"),
            ("affine_update", L, "bb_update.linear"),
        ],
    },
    Scope {
        theirs: "structure_module/fold_iteration/invariant_point_attention",
        ours: "structure_module.ipa",
        layers: &[
            ("q_scalar", L, "linear_q"),
            ("kv_scalar", L, "linear_kv"),
            ("q_point_local", L, "linear_q_points.linear"),
            ("kv_point_local", L, "linear_kv_points.linear"),
            ("attention_2d", L, "linear_b"),
            ("output_projection", L, "linear_out"),
        ],
    },
    Scope {
        theirs: "structure_module/fold_iteration/rigid_sidechain",
        ours: "structure_module.angle_resnet",
        layers: &[
            ("input_projection", L, "linear_in"),
            ("input_projection_1", L, "linear_initial"),
            ("resblock1", L, "layers.0.linear_1"),
            ("resblock2", L, "layers.0.linear_2"),
            ("resblock1_1", L, "layers.1.linear_1"),
            ("resblock2_1", L, "layers.1.linear_2"),
            ("unnormalized_angles", L, "linear_out"),
        ],
    },
    Scope {
        theirs: "predicted_lddt_head",
        ours: "aux_heads.plddt",
        layers: &[
            ("input_layer_norm", N, "layer_norm"),
            ("act_0", L, "linear_1"),
            ("act_1", L, "linear_2"),
            ("logits", L, "linear_3"),
        ],
    },
    Scope {
        theirs: "",
        ours: "aux_heads",
        layers: &[
            ("distogram_head/half_logits", L, "distogram.linear"),
            ("experimentally_resolved_head/logits", L, "experimentally_resolved.linear"),
            ("masked_msa_head/logits", L, "masked_msa.linear"),
            ("predicted_aligned_error_head/logits", L, "tm.linear"),
        ],
    },
];

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    let join = |a: &str, by: &str, b: &str| if a.is_empty() { b.into() } else { format!("{a}{by}{b}") };
    for scope in &SCOPES {
        for (module, kind, path) in scope.layers {
            let (module, path) = (join(scope.theirs, "/", module), join(scope.ours, ".", path));
            for call in 0..golden.calls(&module) {
                let name = format!("{module}#{call}:out");
                let x = golden.tap(&format!("{module}#{call}:in0"));
                report.compare(golden, &name, &apply(golden, *kind, &path, &x, &name)?);
            }
        }
    }
    Ok(())
}
