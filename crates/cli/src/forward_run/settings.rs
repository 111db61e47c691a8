//! AlphaFold's configuration as JSON, held against what this network does: a setting that would change the
//! outputs and is not followed here is refused by name, one that cannot change them is accepted.

use super::keys::{FIXED, KNOWN};
use crate::failure::bad_input;
use anyhow::Result;
use serde_json::{Map, Value};

/// The configuration without keys that are null: to AlphaFold a null is an absent key.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        other => other,
    }
}

/// Checks the `model` section; gives notes on settings that are accepted but say something else than is done.
/// # Errors  The first setting that is unknown or not followed here, with its path.
pub fn check(model: &Value) -> Result<Vec<String>> {
    if model["global_config"]["multimer_mode"] == true {
        return Err(bad_input(
            "configuration: model.global_config.multimer_mode: expected false, got true (a multimer)",
        ));
    }
    let section = model
        .as_object()
        .ok_or_else(|| bad_input("configuration: expected an object with AlphaFold's `model` section"))?;
    walk("", "model", section)?;
    if model["heads"]["structure_module"]["weight"] == 0.0
        || model["heads"]["structure_module"]["weight"] == 0
    {
        return Err(bad_input(
            "configuration: model.heads.structure_module.weight: expected a structure module, got weight 0",
        ));
    }
    let mut notes = Vec::new();
    if model["global_config"]["bfloat16"] == true {
        notes.push("model.global_config.bfloat16 is true: computed in float32 all the same".into());
    }
    if model["recycle_early_stop_tolerance"].as_f64().is_some_and(|t| t > 0.0) {
        notes.push(
            "model.recycle_early_stop_tolerance is not applied: --recycles is the number of passes".into(),
        );
    }
    let template = &model["embeddings_and_evoformer"]["template"];
    if template["enabled"] == true
        && template["embed_torsion_angles"] == true
        && model["global_config"]["zero_init"] != false
    {
        notes.push(
            "model.global_config.zero_init is true: template torsions that no atoms define are rounding noise, \
             as of AlphaFold compiled for a CPU with fused multiply-add; other builds of AlphaFold differ"
                .into(),
        );
    }
    Ok(notes)
}

/// The largest size or number; more is a typing error.
const MOST: u64 = 1 << 16;

/// Whether the key says how many of something there are.
fn is_count(key: &str) -> bool {
    key.starts_with("num_")
        || key == "max_relative_feature"
        || ["_channel", "_num_block", "_dim"].iter().any(|end| key.ends_with(end))
}

fn walk(name: &str, path: &str, section: &Map<String, Value>) -> Result<()> {
    let Some((_, known)) = KNOWN.iter().find(|(section, _)| *section == name) else {
        return Err(bad_input(format!("configuration: {path}: expected one value, got a section")));
    };
    for (key, value) in section {
        let path = format!("{path}.{key}");
        if !known.contains(&key.as_str()) {
            return Err(bad_input(format!("configuration: unknown key {path}")));
        }
        if let Value::Object(inner) = value {
            walk(key, &path, inner)?;
        }
        if is_count(key) && value.as_u64().is_none_or(|n| n > MOST) {
            return Err(bad_input(format!(
                "configuration: {path}: expected a whole number up to {MOST}, got {value}"
            )));
        }
        let fixed = FIXED.iter().find(|(end, _)| path.ends_with(&format!(".{end}")));
        if let Some((_, expected)) = fixed
            && serde_json::from_str::<Value>(expected).ok().as_ref() != Some(value)
        {
            return Err(bad_input(format!("configuration: {path}: expected {expected}, got {value}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/fold/config.json");
        serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).unwrap()["model"].clone()
    }

    fn refusal(path: &[&str], value: Value) -> String {
        let mut model = golden();
        let last = path.len() - 1;
        let section = path[..last].iter().fold(&mut model, |at, key| &mut at[*key]);
        section[path[last]] = value;
        check(&model).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_followed_is_refused_by_name() {
        assert!(check(&golden()).unwrap().is_empty());
        let e = ["embeddings_and_evoformer", "evoformer"];
        for (path, value, says) in [
            (&["global_config", "eval_dropout"][..], true.into(), "eval_dropout: expected false, got true"),
            (
                &[e[0], e[1], "msa_column_attention", "gating"],
                false.into(),
                "column_attention.gating: expected true",
            ),
            (
                &[e[0], e[1], "triangle_attention_ending_node", "orientation"],
                "per_row".into(),
                "got \"per_row\"",
            ),
            (&[e[0], "template", "attention", "gating"], true.into(), "template.attention.gating"),
            (
                &[e[0], "use_chain_relative"],
                true.into(),
                "unknown key model.embeddings_and_evoformer.use_chain",
            ),
            (&["heads", "structure_module", "weight"], 0.0.into(), "structure_module.weight"),
            (&["heads", "structure_module", "num_head"], serde_json::json!({"a": 1}), "expected one value"),
            (&["global_config", "multimer_mode"], true.into(), "multimer_mode: expected false"),
            (
                &[e[0], e[1], "msa_transition", "num_intermediate_factor"],
                2.5.into(),
                "model.embeddings_and_evoformer.evoformer.msa_transition.num_intermediate_factor: expected a whole",
            ),
            (
                &[e[0], "msa_channel"],
                10u64.pow(18).into(),
                "msa_channel: expected a whole number up to 65536",
            ),
        ] {
            let text = refusal(path, value);
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn nulls_are_absent_and_bfloat16_is_noted() {
        let mut model = golden();
        model["embeddings_and_evoformer"]["use_chain_relative"] = Value::Null;
        model["global_config"]["bfloat16"] = true.into();
        let model = without_nulls(model);
        assert_eq!(check(&model).unwrap().len(), 1);
    }
}
