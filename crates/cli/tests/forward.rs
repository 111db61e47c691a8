//! `foldry forward` against AlphaFold's own JAX code (tests/golden/fold.py, fold_b.py): every output after one
//! pass and after recycling, losses, and the gradient of every parameter.

use nn::files::{Arrays, read};
use std::path::{Path, PathBuf};
use std::process::Command;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// Runs `foldry forward` on a golden and reads what it wrote.
fn forward(case: &str, recycles: usize, more: &[&str]) -> Arrays {
    let folder = golden(case);
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("out.safetensors");
    let status = Command::new(env!("CARGO_BIN_EXE_foldry"))
        .current_dir(&folder)
        .args(["forward", "--config", "config.json", "--params", "params.npz", "--features", "features.npz"])
        .args(["--recycles", &recycles.to_string(), "-o"])
        .arg(&file)
        .args(more)
        .status()
        .unwrap();
    assert!(status.success(), "foldry forward ended with {status}");
    // Read in full: the folder goes when this function returns.
    read(&file)
        .unwrap()
        .1
        .into_iter()
        .map(|(n, a)| (n, nn::files::Array::from_f32(a.shape(), &a.to_f32())))
        .collect()
}

/// Where both residues, or the residue, of an element are not padding. `r` is the padded length.
fn unpadded(shape: &[usize], r: usize, residues: usize) -> Vec<bool> {
    let count: usize = shape.iter().product();
    (0..count)
        .map(|i| {
            let mut rest = i;
            shape.iter().rev().all(|&n| {
                let at = rest % n;
                rest /= n;
                n != r || at < residues
            })
        })
        .collect()
}

/// (‖a − b‖ / ‖b‖, ‖b‖, max |a − b|) over the kept elements.
fn distance(a: &[f32], b: &[f32], keep: &[bool]) -> (f64, f64, f64) {
    assert_eq!(a.len(), b.len());
    let (mut d2, mut n2, mut max) = (0.0, 0.0, 0f64);
    for ((x, y), _) in a.iter().zip(b).zip(keep).filter(|(_, k)| **k) {
        let d = f64::from(*x) - f64::from(*y);
        assert!(d.is_finite());
        d2 += d * d;
        n2 += f64::from(*y).powi(2);
        max = max.max(d.abs());
    }
    ((d2 / n2.max(1e-30)).sqrt(), n2.sqrt(), max)
}

/// Every golden output below `prefix` that the contract names must be there and agree.
fn check_outputs(ours: &Arrays, golden: &Arrays, prefix: &str, r: usize, residues: usize) -> usize {
    let mut compared = 0;
    for (name, want) in golden.iter().filter_map(|(n, a)| Some((n.strip_prefix(prefix)?, a))) {
        let Some(got) = ours.get(name) else { continue };
        assert_eq!(got.shape(), want.shape(), "{name}");
        let keep = unpadded(want.shape(), r, residues);
        let (relative, norm, max) = distance(&got.to_f32(), &want.to_f32(), &keep);
        assert!(norm > 0.0, "{name}: the golden is all zero");
        assert!(relative <= 1e-5, "{prefix}{name}: relative error {relative:e}");
        if name.contains("positions") {
            assert!(max <= 1e-3, "{prefix}{name}: {max:e} Å off");
        }
        compared += 1;
    }
    compared
}

const CONTRACT: [&str; 10] = [
    "representations/single",
    "representations/pair",
    "representations/msa_first_row",
    "structure_module/final_atom_positions",
    "structure_module/final_atom_mask",
    "distogram/logits",
    "masked_msa/logits",
    "experimentally_resolved/logits",
    "predicted_lddt/logits",
    "plddt",
];

#[test]
fn one_pass_and_four_agree_with_alphafold() {
    let want = read(&golden("fold/outputs.safetensors")).unwrap().1;
    for recycles in [0, 3] {
        let ours = forward("fold", recycles, &[]);
        for name in CONTRACT.iter().chain(&["predicted_aligned_error/logits", "ptm"]) {
            assert!(ours.contains_key(*name), "{name} is missing");
        }
        // 17 residues of which the last 2 are padding.
        assert!(check_outputs(&ours, &want, &format!("recycle_{recycles}/"), 17, 15) >= 20);
    }
}

#[test]
fn an_ensemble_without_templates_agrees_with_alphafold() {
    let want = read(&golden("fold_b/outputs.safetensors")).unwrap().1;
    for recycles in [0, 1] {
        let ours = forward("fold_b", recycles, &[]);
        assert!(CONTRACT.iter().all(|name| ours.contains_key(*name)));
        assert!(!ours.contains_key("ptm"), "this model has no PAE head");
        assert!(check_outputs(&ours, &want, &format!("recycle_{recycles}/"), 13, 13) >= 15);
    }
}

/// Runs `foldry forward` in a golden's folder with another configuration; exit code and stderr.
fn with_config(case: &str, config: &serde_json::Value, out: &Path) -> (Option<i32>, String) {
    let file = out.join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_foldry"))
        .current_dir(golden(case))
        .args(["forward", "--params", "params.npz", "--features", "features.npz", "--recycles", "1"])
        .arg("--config")
        .arg(&file)
        .arg("-o")
        .arg(out.join("out.safetensors"))
        .output()
        .unwrap();
    (run.status.code(), String::from_utf8_lossy(&run.stderr).into_owned())
}

#[test]
fn the_model_section_alone_is_enough() {
    let text = std::fs::read_to_string(golden("fold_b").join("config.json")).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    // The ensemble follows from the number of samples; null is what AlphaFold writes for a key that is not set.
    let mut model = whole["model"].clone();
    model["embeddings_and_evoformer"]["num_msa"] = serde_json::Value::Null;
    let out = tempfile::tempdir().unwrap();
    let (code, words) = with_config("fold_b", &model, out.path());
    assert_eq!(code, Some(0), "{words}");
    let ours = read(&out.path().join("out.safetensors")).unwrap().1;
    let want = read(&golden("fold_b/outputs.safetensors")).unwrap().1;
    assert!(check_outputs(&ours, &want, "recycle_1/", 13, 13) >= 15);
    assert!(ours.contains_key("distogram/bin_edges"));
}

#[test]
fn a_setting_that_is_not_followed_is_refused() {
    let text = std::fs::read_to_string(golden("fold_b").join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["model"]["global_config"]["eval_dropout"] = true.into();
    let out = tempfile::tempdir().unwrap();
    let (code, words) = with_config("fold_b", &config, out.path());
    assert_eq!(code, Some(2), "{words}");
    assert!(words.contains("model.global_config.eval_dropout: expected false, got true"), "{words}");
}

/// Softmax ignores a shift of all its logits, so these gradients are zero, or rounding noise around it.
const NOISE: [&str; 2] = ["feat_2d_norm//offset", "attention_2d//bias"];

#[test]
fn bf16_stays_near_f32() {
    for (case, r, residues) in [("fold", 17, 15), ("fold_b", 13, 13)] {
        let fine = forward(case, 0, &[]);
        let coarse = forward(case, 0, &["--dtype", "bf16"]);
        for name in ["representations/msa", "representations/pair", "representations/single"] {
            let keep = unpadded(fine[name].shape(), r, residues);
            let (relative, ..) = distance(&coarse[name].to_f32(), &fine[name].to_f32(), &keep);
            // Two bits of slack over one rounding to 8 bits, 2⁻⁹; not nothing, or it was not bf16 at all.
            assert!((1e-5..2e-2).contains(&relative), "{case} {name}: {relative:e}");
        }
        let (.., plddt) = distance(&coarse["plddt"].to_f32(), &fine["plddt"].to_f32(), &vec![true; r]);
        assert!(plddt < 0.5, "{case}: pLDDT is off by {plddt}");
    }
}

#[test]
fn losses_and_gradients_agree_with_alphafold() {
    let want = read(&golden("fold/gradients.safetensors")).unwrap().1;
    for recycles in [0, 1] {
        let prefix = format!("recycle_{recycles}/");
        let ours = forward("fold", recycles, &["--labels", "labels.npz", "--gradients"]);
        let (mut losses, mut gradients) = (0, 0);
        for (name, want) in want.iter().filter_map(|(n, a)| Some((n.strip_prefix(&prefix)?, a))) {
            let (want, gradient) = (want.to_f32(), name.starts_with("gradients/"));
            if !(gradient || name == "loss" || name.ends_with("/loss")) {
                continue;
            }
            let got = ours.get(name).unwrap_or_else(|| panic!("{name} is missing")).to_f32();
            let (relative, norm, max) = distance(&got, &want, &vec![true; want.len()]);
            if !gradient {
                assert!(relative <= 1e-5, "{prefix}{name}: {got:?}, AlphaFold {want:?}");
                losses += 1;
            } else if norm < 1e-5 {
                let recycled = recycles == 0 && name.contains("/prev_"); // its input is zero in the first pass
                assert!(recycled || NOISE.iter().any(|n| name.ends_with(n)), "{name}: the golden vanishes");
                assert!(max <= 1e-5, "{prefix}{name}: {max:e} off");
            } else {
                assert!(relative <= 1e-3, "{prefix}{name}: relative error {relative:e}");
                gradients += 1;
            }
        }
        assert!(losses >= 7 && gradients > 300, "{losses} losses, {gradients} gradients");
        if recycles == 1 {
            let all = ours.iter().filter(|(n, _)| n.starts_with("gradients/"));
            for (name, g) in all {
                let g = g.to_f32();
                let none = NOISE.iter().any(|n| name.ends_with(n));
                assert!(g.iter().all(|v| v.is_finite()) && (none || g.iter().any(|v| *v != 0.0)), "{name}");
            }
        }
    }
}

#[test]
fn parameters_that_do_not_fit_are_listed() {
    let folder = golden("fold");
    let run = Command::new(env!("CARGO_BIN_EXE_foldry"))
        .current_dir(&folder)
        .args(["forward", "--preset", "model_1_ptm", "--params", "params.npz", "--features", "features.npz"])
        .args(["-o", "/nonexistent/out.safetensors"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{text}");
    assert!(text.contains("missing") && text.contains("expected [256, 22], got [24, 22]"), "{text}");
}
