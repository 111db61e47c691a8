//! Our features against AlphaFold's own, byte for byte. Goldens: tests/golden/features.py.

use features::{Duplicates, FeatureArray, FeatureConfig, FeatureSet, RawFeatures, RawTemplates, process};
use ndarray::{ArrayD, Axis, Ix1, Ix2, Ix3};
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/features")
}

#[derive(serde::Deserialize)]
struct Case {
    a3m: Vec<String>,
    seed: u64,
    templates: Option<usize>,
    config: FeatureConfig,
}

fn case(name: &str) -> Case {
    let text = std::fs::read(folder().join("cases.json")).unwrap();
    let mut cases: serde_json::Value = serde_json::from_slice(&text).unwrap();
    serde_json::from_value(cases[name].take()).unwrap()
}

fn array(file: &SafeTensors<'_>, name: &str) -> FeatureArray {
    let view = file.tensor(name).unwrap();
    let words = view.data().chunks_exact(4).map(|c| [c[0], c[1], c[2], c[3]]);
    match view.dtype() {
        Dtype::F32 => {
            let data = words.map(f32::from_le_bytes).collect();
            FeatureArray::F32(ArrayD::from_shape_vec(view.shape(), data).unwrap())
        }
        Dtype::I32 => {
            let data = words.map(i32::from_le_bytes).collect();
            FeatureArray::I32(ArrayD::from_shape_vec(view.shape(), data).unwrap())
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn raw(case: &Case, file: &SafeTensors<'_>) -> RawFeatures {
    let read = |name: &String| {
        let bytes = std::fs::read(folder().join(name)).unwrap();
        msa::a3m::parse(name, &bytes, &msa::Limits::default()).unwrap().0
    };
    let alignments: Vec<_> = case.a3m.iter().map(read).collect();
    let sequence = std::str::from_utf8(alignments[0].query()).unwrap().to_string();
    let raw = RawFeatures::new(&sequence, &alignments.iter().collect::<Vec<_>>(), Duplicates::Drop).unwrap();
    let Some(count) = case.templates else { return raw };
    let part = |name: &str, i: usize| array(file, name).to_f32().index_axis_move(Axis(0), i);
    let mut templates = RawTemplates::none(raw.num_res());
    for i in 0..count {
        let aatype = part("raw/template_aatype", i).into_dimensionality::<Ix1>().unwrap().mapv(|v| v as i32);
        let positions = part("raw/template_all_atom_positions", i).into_dimensionality::<Ix3>().unwrap();
        let masks = part("raw/template_all_atom_masks", i).into_dimensionality::<Ix2>().unwrap();
        let sum_probs = part("raw/template_sum_probs", i).into_iter().next().unwrap();
        templates.push(&format!("t{i}"), &aatype, &positions, &masks, sum_probs).unwrap();
    }
    raw.with_templates(templates).unwrap()
}

/// Largest difference allowed: none, but where an arc tangent is rounded (NumPy's is one unit off in a third of cases).
fn tolerance(name: &str) -> f32 {
    if matches!(name, "msa_feat" | "extra_deletion_value") { 2e-7 } else { 0.0 }
}

fn compare(name: &str) {
    let case = case(name);
    let bytes = std::fs::read(folder().join(format!("{name}.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let raw = raw(&case, &file);
    let set = process(&raw, &case.config, case.seed).unwrap();
    let ours = set.to_arrays();
    let theirs: Vec<&str> = file.names().into_iter().filter_map(|n| n.strip_prefix("out/")).collect();
    let missing: Vec<_> = theirs.iter().filter(|n| !ours.contains_key(**n)).collect();
    assert!(missing.is_empty(), "{name}: not made: {missing:?}");
    for (key, ours) in &ours {
        assert!(theirs.contains(&key.as_str()), "{name}: {key} is not among AlphaFold's");
        let theirs = array(&file, &format!("out/{key}"));
        assert_eq!(ours.shape(), theirs.shape(), "{name}: {key}");
        match (ours, &theirs) {
            (FeatureArray::I32(a), FeatureArray::I32(b)) => assert_eq!(a, b, "{name}: {key}"),
            (FeatureArray::F32(a), FeatureArray::F32(b)) => {
                let gaps = a.indexed_iter().zip(b).filter(|((_, a), b)| (*a - **b).abs() > tolerance(key));
                let first = gaps.clone().next();
                assert!(first.is_none(), "{name}: {key}: {} differ, first {first:?}", gaps.count());
                if key == "msa_feat" {
                    // Only channels 24 and 48 went through an arc tangent.
                    let exact = |((at, a), b): &((ndarray::IxDyn, &f32), &f32)| {
                        at[3] % 24 == 0 && at[3] > 0 || a == b
                    };
                    assert!(a.indexed_iter().zip(b).all(|pair| exact(&pair)), "{name}: msa_feat channels");
                }
            }
            _ => panic!("{name}: {key} has another type"),
        }
    }
    // The named arrays lead back to the same samples.
    let read = FeatureSet::from_arrays(&|key| ours.get(key).map(FeatureArray::to_f32)).unwrap();
    let again = read.with_num_ensemble(set.num_ensemble).unwrap();
    assert!(again.samples == set.samples, "{name}: from_arrays(to_arrays) differs");
}

#[test]
fn real_alignment_with_templates_and_recycles() {
    compare("real");
}

#[test]
fn deep_alignment_with_ensemble_unpadded() {
    compare("deep");
}

#[test]
fn single_sequence_without_recycles() {
    compare("one_row");
}

#[test]
fn without_masking_and_clusters_more_templates_than_kept() {
    compare("plain");
}

#[test]
fn block_deletion_and_unknown_residues() {
    compare("blocks");
}

#[test]
fn random_crop_and_templates_as_tensorflow_draws_them() {
    compare("crop");
}

#[test]
fn threads_do_not_change_a_bit() {
    let case = case("blocks");
    let bytes = std::fs::read(folder().join("blocks.safetensors")).unwrap();
    let raw = raw(&case, &SafeTensors::deserialize(&bytes).unwrap());
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| process(&raw, &case.config, case.seed).unwrap().to_arrays())
    };
    let (one, seven) = (on(1), on(7));
    assert!(one.iter().zip(&seven).all(|((k, a), (l, b))| k == l && a.to_le_bytes() == b.to_le_bytes()));
}

#[test]
fn wrong_arrays_are_named() {
    let case = case("plain");
    let bytes = std::fs::read(folder().join("plain.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let arrays = process(&raw(&case, &file), &case.config, 5).unwrap().to_arrays();
    let error = |change: &dyn Fn(&str, ArrayD<f32>) -> Option<ArrayD<f32>>| {
        let get = |key: &str| arrays.get(key).and_then(|a| change(key, a.to_f32()));
        FeatureSet::from_arrays(&get).unwrap_err().to_string()
    };
    let missing = error(&|key, a| (key != "msa_mask").then_some(a));
    assert!(missing.contains("`msa_mask` is missing") && missing.contains("residues=11"), "{missing}");
    let shape = error(&|key, a| {
        Some(if key == "target_feat" { a.slice_axis(Axis(2), (0..21).into()).to_owned() } else { a })
    });
    assert!(
        shape.contains("`target_feat`: expected shape [samples=2, residues=11, 22], got [2, 11, 21]"),
        "{shape}"
    );
    let value = error(&|key, a| Some(if key == "aatype" { a + 20.5 } else { a }));
    assert!(value.contains("`aatype`: element 0"), "{value}");
}

#[test]
fn unknown_keys_of_the_configuration_are_refused() {
    let text = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut data = value["real"]["config"].clone();
    data["common"]["template_features"] = serde_json::json!(["template_aatype"]);
    data["eval"]["feat"] = serde_json::json!({"aatype": ["num residues placeholder"]});
    let config: FeatureConfig = serde_json::from_value(data.clone()).unwrap();
    let again: FeatureConfig = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
    assert_eq!(config, again);
    data["common"]["max_extra_mas"] = 5.into();
    let error = serde_json::from_value::<FeatureConfig>(data).unwrap_err().to_string();
    assert!(error.contains("unknown field `max_extra_mas`"), "{error}");
}
