//! OpenFold's names, of today and of before version 2, to ours (which are today's).

use super::NamesError;
use super::entries::{Layout, block_of, by_ours, entries};
use nn::files::Arrays;
use std::collections::BTreeSet;

/// Where checkpoints keep the parameters, joined by `/` as the reader does; the first found is used alone.
const WRAPPERS: [&str; 6] = ["ema/params/", "ema/", "state_dict/", "model_state_dict/", "module/", "model/"];

/// Prefixes that wrappers of a module put before every name.
const PREFIXES: [&str; 3] = ["module.", "model.", "_orig_mod."];

/// Renames an OpenFold checkpoint's tensors to ours: takes the averaged parameters of a training checkpoint if
/// there are any, drops `module.` and `model.`, and translates the names used before OpenFold 2.
/// # Errors  [`NamesError`] for names no network has, or two names for one parameter.
pub fn from_openfold(source: &Arrays) -> Result<Arrays, NamesError> {
    let wrapper = WRAPPERS.iter().find(|w| source.keys().any(|name| name.starts_with(**w)));
    let mut surplus = Vec::new();
    let mut ours = Arrays::new();
    let known = known_names();
    for (name, array) in source {
        let inner = match wrapper {
            // Optimizer states and other records beside the parameters are left out.
            Some(wrapper) => match name.strip_prefix(wrapper) {
                Some(inner) => inner,
                None => continue,
            },
            None => name,
        };
        let new = current_name(inner);
        if !known.contains(&block_of(&new).0) {
            surplus.push(name.clone());
        } else if ours.insert(new.clone(), array.clone()).is_some() {
            return Err(NamesError::Twice { first: name.clone(), second: new });
        }
    }
    if surplus.is_empty() { Ok(ours) } else { Err(NamesError::Names { surplus, missing: vec![] }) }
}

/// Every name of ours in any layout, blocks as `{}`.
fn known_names() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for multimer in [false, true] {
        for fused in [false, true] {
            let all = entries(Layout { multimer, fused });
            known.extend(by_ours(&all).into_keys().map(str::to_string));
        }
    }
    known
}

/// Today's name of an OpenFold parameter. Version 2 grouped the template modules and the pair stack,
/// and gave the point projections a linear of their own.
pub(super) fn current_name(name: &str) -> String {
    let mut name = name;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
        name = rest;
    }
    let mut name = name.to_string();
    for (old, new) in [
        ("template_angle_embedder", "template_single_embedder"),
        (".core.msa_transition", ".msa_transition"),
        (".core.outer_product_mean", ".outer_product_mean"),
        (".core.tri_", ".pair_stack.tri_"),
        (".core.pair_transition", ".pair_stack.pair_transition"),
    ] {
        name = name.replace(old, new);
    }
    for points in [".linear_q_points.", ".linear_kv_points."] {
        if name.contains(points) && !name.contains(&format!("{points}linear.")) {
            name = name.replace(points, &format!("{points}linear."));
        }
    }
    if name.starts_with("template_") && !name.starts_with("template_embedder.") {
        name.insert_str(0, "template_embedder.");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use nn::files::Array;

    fn named(names: &[&str]) -> Arrays {
        names.iter().enumerate().map(|(i, n)| (n.to_string(), Array::from_i32(&[], &[i as i32]))).collect()
    }

    #[test]
    fn old_names_become_todays() {
        for (old, new) in [
            (
                "template_angle_embedder.linear_1.weight",
                "template_embedder.template_single_embedder.linear_1.weight",
            ),
            (
                "module.model.template_pair_stack.blocks.1.tri_att_end.linear.weight",
                "template_embedder.template_pair_stack.blocks.1.tri_att_end.linear.weight",
            ),
            (
                "template_pointwise_att.mha.linear_q.weight",
                "template_embedder.template_pointwise_att.mha.linear_q.weight",
            ),
            (
                "evoformer.blocks.47.core.tri_mul_in.linear_a_p.bias",
                "evoformer.blocks.47.pair_stack.tri_mul_in.linear_a_p.bias",
            ),
            (
                "model.extra_msa_stack.blocks.3.core.outer_product_mean.linear_1.bias",
                "extra_msa_stack.blocks.3.outer_product_mean.linear_1.bias",
            ),
            (
                "structure_module.ipa.linear_kv_points.weight",
                "structure_module.ipa.linear_kv_points.linear.weight",
            ),
        ] {
            assert_eq!(current_name(old), new);
            assert_eq!(current_name(new), new);
            assert_eq!(from_openfold(&named(&[old])).unwrap().into_keys().collect::<Vec<_>>(), [new]);
        }
    }

    #[test]
    fn takes_the_averaged_parameters_alone() {
        let source = named(&[
            "ema/params/model.evoformer.linear.weight",
            "optimizer/state/0/exp_avg",
            "state_dict/model.evoformer.linear.weight",
        ]);
        let ours = from_openfold(&source).unwrap();
        assert_eq!(ours["evoformer.linear.weight"].to_i64(), [0]);
        assert_eq!(ours.len(), 1);
    }

    #[test]
    fn refuses_unknown_and_double_names() {
        let error = from_openfold(&named(&["evoformer.linear.bias", "evoformer.linear.scale"])).unwrap_err();
        assert_eq!(error.to_string(), "1 parameter names no network has: evoformer.linear.scale");
        let both = named(&["evoformer.linear.bias", "model.evoformer.linear.bias"]);
        assert!(matches!(from_openfold(&both), Err(NamesError::Twice { .. })));
    }
}
