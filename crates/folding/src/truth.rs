//! From what the network says to what it costs: AlphaFold's losses of one pass.

use crate::{Result, Sample};
use features::ModelInput;
use fold::Outputs;
use losses::{HeadOutputs, Labels, LossConfig, Losses, MsaTruth, StructureOutputs};

/// The outputs of a pass as the losses take them.
fn head_outputs(outputs: &Outputs) -> HeadOutputs {
    let (s, logits) = (&outputs.structure, &outputs.logits);
    HeadOutputs {
        structure_module: StructureOutputs {
            traj: s.traj.clone(),
            frames_rot: s.frames_rotation.clone(),
            frames_trans: s.frames_translation.clone(),
            atom14: s.atom14.clone(),
            angles_sin_cos: s.angles.clone(),
            unnormalized_angles_sin_cos: s.unnormalized_angles.clone(),
            final_atom_positions: s.atom37.clone(),
        },
        distogram: logits.distogram.clone(),
        masked_msa: logits.masked_msa.clone(),
        predicted_lddt: logits.predicted_lddt.clone(),
        predicted_aligned_error: logits.predicted_aligned_error.clone(),
        experimentally_resolved: logits.experimentally_resolved.clone(),
    }
}

/// Rows before masking and what was masked, flat `[s, r]`; `None` if the features do not have them.
pub fn masked_rows(x: &ModelInput) -> Option<(Vec<u8>, Vec<f32>)> {
    let (rows, mask) = (x.true_msa.as_ref()?, x.bert_mask.as_ref()?);
    Some((rows.iter().map(|&a| a.clamp(0, 22) as u8).collect(), mask.iter().copied().collect()))
}

/// Losses of the pass that saw the last features of `sample`.
///
/// # Errors  [`crate::Error::Loss`] where outputs, labels and configuration do not fit.
pub fn losses(outputs: &Outputs, sample: &Sample, config: &LossConfig) -> Result<Losses> {
    let last = sample.passes.last();
    let (rows, mask) = last.and_then(masked_rows).unwrap_or_default();
    losses_of(outputs, &sample.labels, (&rows, &mask), config)
}

/// Losses against labels; `msa` are rows before masking and what was masked.
///
/// # Errors  as [`losses`].
pub fn losses_of(
    outputs: &Outputs,
    labels: &Labels,
    (true_msa, bert_mask): (&[u8], &[f32]),
    config: &LossConfig,
) -> Result<Losses> {
    Ok(losses::total(&head_outputs(outputs), labels, &MsaTruth { true_msa, bert_mask }, config)?)
}

#[cfg(test)]
pub(crate) mod testing {
    use crate::Known;
    use chem::atoms::ATOM_TYPES;
    use chem::rigid::ATOM37_GROUP_POSITIONS;
    use features::FeatureConfig;
    use fold::Config;
    use losses::LossConfig;
    use serde_json::Value;

    fn json() -> Value {
        let mut json: Value = serde_json::from_str(include_str!("../../../data/models/mini.json")).unwrap();
        let m = &mut json["model"]["embeddings_and_evoformer"];
        m["evoformer_num_block"] = 1.into();
        m["extra_msa_stack_num_block"] = 1.into();
        m["msa_channel"] = 32.into();
        m["pair_channel"] = 16.into();
        m["extra_msa_channel"] = 8.into();
        m["seq_channel"] = 24.into();
        m["evoformer"]["triangle_attention_starting_node"]["num_head"] = 4.into();
        m["evoformer"]["msa_transition"]["num_intermediate_factor"] = 4.into();
        json["model"]["heads"]["structure_module"]["num_layer"] = 2.into();
        json
    }

    /// A network small enough for tests.
    pub fn config() -> Config {
        Config::from_alphafold_json(&json()).unwrap()
    }

    /// Its losses.
    pub fn losses() -> LossConfig {
        serde_json::from_value(json()["model"]["heads"].clone()).unwrap()
    }

    /// Its features.
    pub fn features() -> FeatureConfig {
        serde_json::from_value(json()["data"].clone()).unwrap()
    }

    /// An ideal helix of this sequence, backbone with Cβ, numbered from `first`, with an alignment of five rows.
    pub fn helix(sequence: &str, first: i32) -> Known {
        let aatype: Vec<u8> = sequence.bytes().map(|l| chem::residue::aatype_of_letter(l).unwrap()).collect();
        let mut known = Known {
            id: "helix".into(),
            sequence: sequence.into(),
            residue_index: (0..aatype.len() as i32).map(|i| first + i).collect(),
            positions: vec![],
            mask: vec![],
            backbone_only: false,
            resolution: None,
            msa: None,
            aatype,
        };
        for (i, &kind) in known.aatype.iter().enumerate() {
            let (mut positions, mut mask) = ([[0.0f32; 3]; 37], [false; 37]);
            // Turn and rise of an α-helix; the frame is turned with it, tilted so that nothing lies on an axis.
            let turn = (100.0f32 * i as f32).to_radians();
            let (sin, cos) = turn.sin_cos();
            for (atom, name) in ATOM_TYPES.iter().enumerate() {
                if !matches!(*name, "N" | "CA" | "C" | "CB" | "O")
                    || chem::atoms::STANDARD_ATOM_MASK[usize::from(kind)][atom] == 0.0
                {
                    continue;
                }
                let mut p = ATOM37_GROUP_POSITIONS[usize::from(kind)][atom];
                if *name == "O" {
                    p = [2.1, 0.6, 0.9]; // somewhere beyond C
                }
                let p = [p[0] * 0.8 - p[1] * 0.6, p[0] * 0.6 + p[1] * 0.8, p[2]];
                let p = [p[0] + 2.3, p[1], p[2] + 1.5 * i as f32];
                positions[atom] = [cos * p[0] - sin * p[1], sin * p[0] + cos * p[1], p[2]];
                mask[atom] = true;
            }
            known.positions.push(positions);
            known.mask.push(mask);
        }
        let shifted: String = sequence.chars().rev().collect();
        let turned = |n: usize| format!("{}{}", &shifted[n..], &shifted[..n]);
        let text = format!(
            ">q\n{sequence}\n>a\n{shifted}\n>b\n-{}\n>c\n{}\n>d\n{}\n",
            &shifted[1..],
            turned(3),
            turned(5)
        );
        let (msa, _) = msa::a3m::parse("t.a3m", text.as_bytes(), &msa::Limits::default()).unwrap();
        assert_eq!(msa.rows(), 5);
        known.msa = Some(msa);
        known
    }
}
