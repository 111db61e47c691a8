//! Torsion angles of templates as rows of the MSA. AF2 Suppl. Alg. 2 lines 7–8.

use crate::Result;
use crate::config::Config;
use crate::convert::from_vec;
use crate::layers::Linear;
use candle_core::Tensor;
use features::TemplateInput;
use geometry::torsion::{Undefined, atom37_torsions};
use nn::Params;

/// One-hot residue type, 7 angles (sin, cos), their alternatives, and which are defined.
const WIDTH: usize = 22 + 14 + 14 + 7;
/// ψ needs atoms of one residue only: its mask says whether the row has that residue.
const PSI: usize = 2;

/// Embeds torsion angles.
pub struct TorsionRows {
    first: Linear,
    second: Linear,
    undefined: Undefined,
}

impl TorsionRows {
    /// Parameters below `p`.
    pub fn load(p: &Params, config: &Config) -> nn::Result<Self> {
        let c_m = config.embeddings_and_evoformer.msa_channel;
        let undefined =
            if config.global_config.zero_init { Undefined::Noise } else { Undefined::Placeholder };
        Ok(Self {
            first: Linear::load(&p.sub("linear_1"), WIDTH, c_m)?,
            second: Linear::load(&p.sub("linear_2"), c_m, c_m)?,
            undefined,
        })
    }

    /// Rows `[t, r, c_m]` of what [`TorsionRows::features`] gives.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor> {
        Ok(self.second.forward(&self.first.relu(features)?)?)
    }

    /// What is embedded, `[t, r, 57]`, and which rows exist, `[t, r]`.
    pub fn features(&self, input: &TemplateInput) -> Result<(Tensor, Tensor)> {
        let (t, r) = input.aatype.dim();
        let (mut features, mut mask) = (Vec::with_capacity(t * r * WIDTH), Vec::with_capacity(t * r));
        for template in 0..t {
            let kinds: Vec<u8> = input.aatype.row(template).iter().map(|&a| a.clamp(0, 21) as u8).collect();
            let positions: Vec<[[f32; 3]; 37]> = (0..r)
                .map(|i| {
                    std::array::from_fn(|a| {
                        std::array::from_fn(|x| input.all_atom_positions[[template, i, a, x]])
                    })
                })
                .collect();
            let atoms: Vec<[f32; 37]> =
                (0..r).map(|i| std::array::from_fn(|a| input.all_atom_masks[[template, i, a]])).collect();
            let torsions = atom37_torsions(&kinds, &positions, &atoms, self.undefined);
            for i in 0..r {
                let mut one_hot = [0.0; 22];
                one_hot[usize::from(kinds[i])] = 1.0;
                features.extend(one_hot);
                features.extend(torsions.sin_cos[i].as_flattened());
                features.extend(torsions.alt_sin_cos[i].as_flattened());
                features.extend(torsions.mask[i]);
                mask.push(torsions.mask[i][PSI]);
            }
        }
        let device = self.first.weight.device();
        Ok((from_vec(features, &[t, r, WIDTH], device)?, from_vec(mask, &[t, r], device)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::values;
    use ndarray::{Array, ArrayD, IxDyn};
    use nn::files::{Arrays, read};
    use std::path::Path;

    fn array(golden: &Arrays, name: &str) -> ArrayD<f32> {
        let a = &golden[name];
        ArrayD::from_shape_vec(IxDyn(a.shape()), a.to_f32()).unwrap()
    }

    fn input(golden: &Arrays, size: &str) -> TemplateInput {
        let get = |name: &str| array(golden, &format!("{size}/{name}"));
        let aatype = get("aatype").mapv(|a| a as i32).into_dimensionality().unwrap();
        let (t, r) = aatype.dim();
        TemplateInput {
            aatype,
            mask: Array::ones(t),
            pseudo_beta: Array::zeros((t, r, 3)),
            pseudo_beta_mask: Array::zeros((t, r)),
            all_atom_positions: get("positions").into_dimensionality().unwrap(),
            all_atom_masks: get("mask").into_dimensionality().unwrap(),
            sum_probs: Array::zeros((t, 1)),
        }
    }

    fn config(zero_init: bool) -> Config {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/fold/config.json");
        let mut json = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let section: &mut serde_json::Value = &mut json;
        section["model"]["global_config"]["zero_init"] = zero_init.into();
        Config::from_alphafold_json(section).unwrap()
    }

    /// Against compiled AlphaFold, where atoms, side chains or residues are missing, atoms coincide or have
    /// coordinates in spite of their mask: with 1e-6 nothing is left to rounding noise.
    #[test]
    fn undefined_torsions_are_alphafolds() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/torsions.safetensors");
        let golden = read(&path).unwrap().1;
        for (zero_init, name) in [(true, "noise"), (false, "placeholder")] {
            let rows = TorsionRows::load(&Params::made_up(7, &candle_core::Device::Cpu), &config(zero_init))
                .unwrap();
            for size in ["2x19", "5x7"] {
                let got = values(&rows.features(&input(&golden, size)).unwrap().0).unwrap();
                let want = array(&golden, &format!("{size}/{name}"));
                assert_eq!(got.len(), want.len());
                for ((at, want), got) in want.indexed_iter().zip(got) {
                    assert!((got - want).abs() <= 1e-6, "{name} {size} {at:?}: {got}, AlphaFold {want}");
                }
            }
        }
    }
}
