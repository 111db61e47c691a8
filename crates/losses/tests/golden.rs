//! Losses and gradients against AlphaFold's own (tests/golden/losses.py).

use candle_core::{DType, Device, Tensor, Var};
use losses::{HeadOutputs, LabelInputs, Labels, LossConfig, MsaTruth, StructureOutputs, violations};
use std::collections::HashMap;

const CASES: [&str; 3] = ["clamped", "edge", "changed"];
/// ‖a − b‖ / ‖b‖ of a loss.
const VALUE: f64 = 1e-5;
/// ‖a − b‖ / ‖b‖ of a gradient.
const GRADIENT: f64 = 1e-5;

struct Golden {
    name: &'static str,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    fn load(name: &'static str) -> Self {
        let path = format!("{}/../../tests/golden/losses/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
        let tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        Self { name, tensors }
    }

    fn get(&self, key: &str) -> &Tensor {
        self.tensors.get(key).unwrap_or_else(|| panic!("{}: no {key}", self.name))
    }

    fn floats(&self, key: &str) -> Vec<f32> {
        self.get(key).to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn ints(&self, key: &str) -> Vec<i64> {
        self.get(key).flatten_all().unwrap().to_vec1().unwrap()
    }

    fn scalar(&self, key: &str) -> f32 {
        self.floats(key)[0]
    }

    fn config(&self) -> LossConfig {
        let text: Vec<u8> = self.get("config").to_vec1().unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn labels(&self) -> Labels {
        let aatype: Vec<u8> = self.ints("labels/aatype").iter().map(|x| *x as u8).collect();
        let residue_index: Vec<i32> = self.ints("labels/residue_index").iter().map(|x| *x as i32).collect();
        Labels::derive(LabelInputs {
            aatype: &aatype,
            residue_index: &residue_index,
            seq_mask: &self.floats("labels/seq_mask"),
            all_atom_positions: &self.floats("labels/all_atom_positions"),
            all_atom_mask: &self.floats("labels/all_atom_mask"),
            atom14_atom_exists: None,
            atom37_atom_exists: None,
            resolution: self.scalar("labels/resolution"),
            use_clamped_fape: self.scalar("labels/use_clamped_fape"),
        })
        .unwrap()
    }

    /// Every prediction as a variable of its own.
    fn variables(&self) -> HashMap<String, Var> {
        let preds = self.tensors.iter().filter_map(|(k, v)| Some((k.strip_prefix("pred/")?, v)));
        preds.map(|(k, v)| (k.to_string(), Var::from_tensor(v).unwrap())).collect()
    }

    fn check_value(&self, name: &str, got: &Tensor) {
        let got = f64::from(got.to_scalar::<f32>().unwrap());
        let expected = f64::from(self.scalar(&format!("value/{name}")));
        let off = if expected == 0.0 { got.abs() } else { (got / expected - 1.0).abs() };
        println!("{:8} {name:30} {expected:12.6} {off:9.1e}", self.name);
        assert!(off <= VALUE, "{}: {name} is {got}, AlphaFold has {expected}", self.name);
    }

    /// Value of a loss, and its gradient by each of `inputs`.
    fn check(&self, name: &str, loss: &Tensor, vars: &HashMap<String, Var>, inputs: &[&str]) {
        self.check_value(name, loss);
        let grads = loss.backward().unwrap();
        for input in inputs {
            let expected = self.floats(&format!("grad/{name}/{input}"));
            let got: Vec<f32> = match grads.get(&vars[*input]) {
                Some(grad) => grad.flatten_all().unwrap().to_vec1().unwrap(),
                None => vec![0.0; expected.len()],
            };
            let off = relative(&got, &expected);
            println!("{:8} {:30} {:12} {off:9.1e}", self.name, format!("  d {name}"), input);
            assert!(got.iter().all(|x| x.is_finite()));
            assert!(off <= GRADIENT, "{}: gradient of {name} by {input} is off by {off:e}", self.name);
        }
    }
}

fn relative(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let norm = |xs: &mut dyn Iterator<Item = f64>| xs.map(|x| x * x).sum::<f64>().sqrt();
    let off = norm(&mut got.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let size = norm(&mut expected.iter().map(|b| f64::from(*b)));
    if size == 0.0 { off } else { off / size }
}

fn structure_outputs(vars: &HashMap<String, Var>) -> StructureOutputs {
    let get = |key: &str| vars[key].as_tensor().clone();
    StructureOutputs {
        traj: get("traj"),
        frames_rot: get("frames_rot"),
        frames_trans: get("frames_trans"),
        atom14: get("atom14"),
        angles_sin_cos: get("angles_sin_cos"),
        unnormalized_angles_sin_cos: get("unnormalized_angles_sin_cos"),
        final_atom_positions: get("final_atom_positions"),
    }
}

const GEOMETRY: [&str; 6] =
    ["traj", "frames_rot", "frames_trans", "atom14", "angles_sin_cos", "unnormalized_angles_sin_cos"];

#[test]
fn labels_are_alphafolds() {
    for golden in CASES.map(Golden::load) {
        let labels = golden.labels();
        let close = |key: &str, got: &[f32], mask: &[f32]| {
            let expected = golden.floats(&format!("batch/{key}"));
            assert_eq!(got.len(), expected.len(), "{key}");
            let width = got.len() / mask.len();
            for (i, (a, b)) in got.iter().zip(&expected).enumerate() {
                let known = mask[i / width] != 0.0;
                assert!(
                    !known || (a - b).abs() <= 2e-6 * (1.0 + b.abs()),
                    "{}: {key}[{i}] {a} {b}",
                    golden.name
                );
            }
        };
        let all = |n: usize| vec![1.0; n];
        let r = labels.len();
        let truth = &labels.atom14;
        close("atom14_atom_exists", labels.atom14_exists.as_flattened(), &all(r));
        close("atom37_atom_exists", labels.atom37_exists.as_flattened(), &all(r));
        close("atom14_gt_exists", truth.exists.as_flattened(), &all(r));
        close("atom14_gt_positions", truth.positions.as_flattened().as_flattened(), &all(r));
        close("atom14_alt_gt_exists", truth.alt_exists.as_flattened(), &all(r));
        close("atom14_alt_gt_positions", truth.alt_positions.as_flattened().as_flattened(), &all(r));
        close("atom14_atom_is_ambiguous", truth.ambiguous.as_flattened(), &all(r));
        let exists = labels.frames.exists.as_flattened();
        close("rigidgroups_gt_exists", exists, &all(r));
        let flat12 = |frames: &[[losses::Rigid; 8]]| -> Vec<f32> {
            let one = |f: &losses::Rigid| [f.rot[0], f.rot[1], f.rot[2], f.trans].concat();
            frames.as_flattened().iter().flat_map(one).collect()
        };
        close("rigidgroups_gt_frames", &flat12(&labels.frames.frames), exists);
        close("rigidgroups_alt_gt_frames", &flat12(&labels.frames.alt_frames), exists);
        let chi_mask = labels.chi.mask.as_flattened();
        close("chi_mask", chi_mask, &all(r));
        let angles: Vec<f32> =
            labels.chi.sin_cos.as_flattened().iter().map(|[sin, cos]| sin.atan2(*cos)).collect();
        close("chi_angles", &angles, chi_mask);
        close("pseudo_beta_mask", &labels.pseudo_beta_mask, &all(r));
        close("pseudo_beta", labels.pseudo_beta.as_flattened(), &all(r));
    }
}

#[test]
fn structure_losses_and_gradients() {
    for golden in CASES.map(Golden::load) {
        let (labels, config, vars) = (golden.labels(), golden.config().structure_module, golden.variables());
        let outputs = structure_outputs(&vars);
        let check = |name: &str, loss: &Tensor, inputs: &[&str]| golden.check(name, loss, &vars, inputs);

        let backbone = losses::backbone(&outputs.traj, &labels, &config.fape).unwrap();
        check("backbone", &backbone.loss, &["traj"]);
        golden.check_value("fape", &backbone.last);

        let renamed = losses::rename(&outputs.atom14, &labels).unwrap();
        let better: Vec<bool> =
            golden.floats("value/alt_naming_is_better").iter().map(|x| *x == 1.0).collect();
        assert_eq!(renamed.swapped, better);
        let (rot, trans) = (&outputs.frames_rot, &outputs.frames_trans);
        let sidechain =
            losses::sidechain(rot, trans, &outputs.atom14, &renamed, &labels, &config.sidechain).unwrap();
        check("sidechain", &sidechain, &["frames_rot", "frames_trans", "atom14"]);

        let torsions =
            losses::chi(&outputs.angles_sin_cos, &outputs.unnormalized_angles_sin_cos, &labels).unwrap();
        check("chi", &torsions.chi, &["angles_sin_cos"]);
        check("angle_norm", &torsions.angle_norm, &["unnormalized_angles_sin_cos"]);

        let found = violations::violations(&outputs.atom14, &labels, &config).unwrap();
        check("bond_c_n", &found.bonds.c_n, &["atom14"]);
        check("angle_ca_c_n", &found.bonds.ca_c_n, &["atom14"]);
        check("angle_c_n_ca", &found.bonds.c_n_ca, &["atom14"]);
        check("clash", &found.clashes.sum, &["atom14"]);
        check("within", &found.within.sum, &["atom14"]);
        check("violation", &found.loss, &["atom14"]);

        let whole = losses::structure_module(&outputs, &labels, &config).unwrap();
        check("structure_module", &whole.loss, &GEOMETRY);
    }
}

#[test]
fn violation_metrics() {
    for golden in CASES.map(Golden::load) {
        let (labels, config, vars) = (golden.labels(), golden.config().structure_module, golden.variables());
        let got = violations::metrics(&vars["atom14"], &labels, &config).unwrap();
        for (name, got) in [
            ("violations_extreme_ca_ca_distance", got.extreme_ca_ca_distance),
            ("violations_between_residue_bond", got.between_residue_bond),
            ("violations_between_residue_clash", got.between_residue_clash),
            ("violations_within_residue", got.within_residue),
            ("violations_per_residue", got.per_residue),
        ] {
            let expected = f64::from(golden.scalar(&format!("value/{name}")));
            assert!(
                (got - expected).abs() < 1e-6,
                "{}: {name} is {got}, AlphaFold has {expected}",
                golden.name
            );
        }
    }
}

#[test]
fn head_losses_and_gradients() {
    for golden in CASES.map(Golden::load) {
        let (labels, config, vars) = (golden.labels(), golden.config(), golden.variables());
        let check =
            |name: &str, loss: losses::Result<Tensor>| golden.check(name, &loss.unwrap(), &vars, &[name]);
        let (true_msa, bert_mask) = msa(&golden);
        let msa = MsaTruth { true_msa: &true_msa, bert_mask: &bert_mask };
        let affines = structure_outputs(&vars).final_affines().unwrap();

        check("distogram", losses::distogram(&vars["distogram"], &labels, &config.distogram));
        check("masked_msa", losses::masked_msa(&vars["masked_msa"], &msa, &config.masked_msa));
        let logits = &vars["experimentally_resolved"];
        check(
            "experimentally_resolved",
            losses::experimentally_resolved(logits, &labels, &config.experimentally_resolved),
        );
        let (logits, positions) = (&vars["predicted_lddt"], &vars["final_atom_positions"]);
        check("predicted_lddt", losses::predicted_lddt(logits, positions, &labels, &config.predicted_lddt));
        let logits = &vars["predicted_aligned_error"];
        check(
            "predicted_aligned_error",
            losses::predicted_aligned_error(logits, &affines, &labels, &config.predicted_aligned_error),
        );
    }
}

fn msa(golden: &Golden) -> (Vec<u8>, Vec<f32>) {
    (golden.ints("labels/true_msa").iter().map(|x| *x as u8).collect(), golden.floats("labels/bert_mask"))
}

#[test]
fn total_is_the_weighted_sum_and_so_are_its_gradients() {
    for golden in CASES.map(Golden::load) {
        let (labels, config, vars) = (golden.labels(), golden.config(), golden.variables());
        let (true_msa, bert_mask) = msa(&golden);
        let logits = |key: &str| Some(vars[key].as_tensor().clone());
        let outputs = HeadOutputs {
            structure_module: structure_outputs(&vars),
            distogram: logits("distogram"),
            masked_msa: logits("masked_msa"),
            predicted_lddt: logits("predicted_lddt"),
            predicted_aligned_error: logits("predicted_aligned_error"),
            experimentally_resolved: logits("experimentally_resolved"),
        };
        let msa = MsaTruth { true_msa: &true_msa, bert_mask: &bert_mask };
        let all = losses::total(&outputs, &labels, &msa, &config).unwrap();
        golden.check_value("total", &all.total);
        for (name, loss) in &all.per_head {
            golden.check_value(name, loss);
        }
        assert_eq!(all.per_head.contains_key("predicted_aligned_error"), golden.name != "changed");

        let grads = all.total.backward().unwrap();
        let weights = [
            ("distogram", config.distogram.weight),
            ("masked_msa", config.masked_msa.weight),
            ("predicted_lddt", config.predicted_lddt.weight),
            ("predicted_aligned_error", config.predicted_aligned_error.weight),
            ("experimentally_resolved", config.experimentally_resolved.weight),
        ];
        let heads = weights.iter().map(|(head, weight)| (*head, *head, *weight));
        let geometry =
            GEOMETRY.iter().map(|input| ("structure_module", *input, config.structure_module.weight));
        for (head, input, weight) in heads.chain(geometry) {
            let one = golden.floats(&format!("grad/{head}/{input}"));
            let expected: Vec<f32> = one.iter().map(|g| g * weight as f32).collect();
            let got: Vec<f32> = match grads.get(&vars[input]) {
                Some(grad) => grad.flatten_all().unwrap().to_vec1().unwrap(),
                None => vec![0.0; expected.len()],
            };
            let off = relative(&got, &expected);
            assert!(off <= GRADIENT, "{}: gradient of total by {input} is off by {off:e}", golden.name);
        }
        let missing = HeadOutputs { distogram: None, ..outputs };
        let message = losses::total(&missing, &labels, &msa, &config).unwrap_err().to_string();
        assert!(message.starts_with("distogram: weight is "), "{message}");
    }
}
