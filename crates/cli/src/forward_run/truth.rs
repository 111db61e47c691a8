//! Losses of a pass against labels under AlphaFold's names.

use crate::failure::bad_input;
use anyhow::Result;
use features::ModelInput;
use fold::Outputs;
use folding::truth::{losses_of, masked_rows};
use losses::{LabelInputs, Labels, LossConfig, Losses};
use nn::files::Arrays;

/// Every head's loss and the total. `sample` comes with its residues' numbers as they were given.
pub fn losses(
    outputs: &Outputs,
    (sample, numbers): (&ModelInput, &[i32]),
    labels: &Arrays,
    config: &LossConfig,
) -> Result<Losses> {
    let r = sample.num_res();
    let get = |name: &str, per_residue: usize| -> Result<Vec<f32>> {
        let array = labels.get(name).ok_or_else(|| bad_input(format!("labels: `{name}` is missing")))?;
        let (expected, mut values, shape) = (r * per_residue, array.to_f32(), array.shape());
        // As AlphaFold's batches have them: the same for each sample, one after another.
        if shape.len() > 1 && shape[1] == r && shape[0] > 0 && values.len() == shape[0] * expected {
            values.truncate(expected);
        }
        if values.len() != expected {
            return Err(bad_input(format!(
                "labels: `{name}`: expected {expected} numbers ({r} residues), got {shape:?}"
            )));
        }
        Ok(values)
    };
    let scalar = |name: &str| labels.get(name).and_then(|a| a.to_f32().first().copied());
    let aatype: Vec<u8> = sample.aatype.iter().map(|&a| a.clamp(0, 20) as u8).collect();
    let seq_mask = sample.seq_mask.to_vec();
    let flat = |a: &ndarray::Array2<f32>| a.iter().copied().collect::<Vec<f32>>();
    let (atom14, atom37) = (flat(&sample.atoms.atom14_exists), flat(&sample.atoms.atom37_exists));
    let truth = Labels::derive(LabelInputs {
        aatype: &aatype,
        residue_index: numbers,
        seq_mask: &seq_mask,
        all_atom_positions: &get("all_atom_positions", 37 * 3)?,
        all_atom_mask: &get("all_atom_mask", 37)?,
        atom14_atom_exists: Some(&atom14),
        atom37_atom_exists: Some(&atom37),
        resolution: scalar("resolution").unwrap_or(0.0),
        use_clamped_fape: scalar("use_clamped_fape").unwrap_or(1.0),
    })
    .map_err(bad_input)?;
    let rows = match masked_rows(sample) {
        Some(rows) => rows,
        None if outputs.logits.masked_msa.is_none() => (vec![], vec![]),
        None => {
            return Err(bad_input("features: `true_msa` and `bert_mask` are needed for the masked-MSA loss"));
        }
    };
    Ok(losses_of(outputs, &truth, (&rows.0, &rows.1), config)?)
}
