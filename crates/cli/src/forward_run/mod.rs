//! The work of `foldry forward`: passes, then everything under AlphaFold's names.

mod gradients;
mod keys;
pub mod settings;
pub mod truth;

use crate::failure::bad_input;
use crate::precision::Precision;
use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use features::FeatureSet;
use fold::names::{Heads, canonical};
use fold::{Config, Model, Outputs, Taps};
use losses::LossConfig;
use ndarray::ArrayD;
use nn::files::{Array, Arrays};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// What `foldry forward` was given.
pub struct Inputs {
    /// Sizes.
    pub config: Config,
    /// Parameters under AlphaFold's or our names.
    pub params: Arrays,
    /// Where the network is computed.
    pub device: Device,
    /// Processed features.
    pub features: FeatureSet,
    /// Residue numbers as given, which the losses read.
    pub numbers: Vec<i32>,
    /// Passes after the first.
    pub recycles: usize,
    /// Write intermediate values of the last pass.
    pub taps: bool,
    /// Ground truth and the losses' settings.
    pub losses: Option<(Arrays, LossConfig)>,
    /// Write gradients.
    pub gradients: bool,
    /// Numbers of the stacks' matrix products.
    pub precision: Precision,
}

/// Parts the chains of a complex as the ColabFold wheel does for monomer networks: the offset between residues of
/// two chains (`asym_id`, one for each sample and residue) is the largest there is. The numbers of the residues
/// are moved so far apart that clipping gives just that.
pub fn part_chains(features: &mut FeatureSet, chains: &ArrayD<f32>) -> Result<()> {
    const APART: i32 = 1 << 20;
    for (i, sample) in features.samples.iter_mut().enumerate() {
        let r = sample.num_res();
        let row: Vec<f32> = chains.outer_iter().nth(i).into_iter().flatten().copied().collect();
        if chains.ndim() != 2 || row.len() != r || row.iter().any(|c| !(0.0..=1000.0).contains(c)) {
            return Err(bad_input(format!(
                "asym_id: expected chain numbers 0 to 1000 for each sample and its {r} residues, got {:?}",
                chains.shape()
            )));
        }
        for (index, chain) in sample.residue_index.iter_mut().zip(&row) {
            *index = index.saturating_add((chain - row[0]) as i32 * APART);
        }
    }
    Ok(())
}

/// All outputs by AlphaFold's names, joined by `/`.
pub fn run(mut inputs: Inputs) -> Result<Arrays> {
    let (_, mut params) = canonical(&inputs.params).map_err(bad_input)?;
    drop(std::mem::take(&mut inputs.params));
    let mut tensors = BTreeMap::new();
    let mut vars = BTreeMap::new();
    // Each array goes as its tensor comes, so that the parameters are held once.
    while let Some((name, array)) = params.pop_first() {
        let t = Tensor::from_vec(array.to_f32(), array.shape(), &inputs.device)?;
        if inputs.gradients {
            let var = Var::from_tensor(&t)?;
            tensors.insert(name.clone(), var.as_tensor().clone());
            vars.insert(name, var);
        } else {
            tensors.insert(name, t);
        }
    }
    let heads = Heads {
        msa_column: inputs.config.embeddings_and_evoformer.evoformer.msa_column_attention.num_head,
        template_pointwise: inputs.config.embeddings_and_evoformer.template.attention.num_head,
    };
    let passes = inputs.recycles + 1;
    let available = inputs.features.samples.len() / inputs.features.num_ensemble.max(1);
    // A GPU's operations round the weights themselves.
    let stacks = if inputs.device.is_cpu() { inputs.precision.dtype() } else { DType::F32 };
    let still =
        Model::load(&inputs.config, tensors.iter().map(|(n, t)| (n.clone(), t.detach())).collect(), stacks)
            .map_err(bad_input)?;
    let tracked = if inputs.gradients { Some(Model::load(&inputs.config, tensors, stacks)?) } else { None };
    let Some(sample) = inputs.features.samples.first() else {
        return Err(bad_input("features: expected at least one sample, got none"));
    };
    let mut previous = still.nothing_before(sample.num_res())?;
    for pass in 0..passes {
        let last = pass + 1 == passes;
        let samples = inputs.features.recycle(pass.min(available.max(1) - 1));
        let taps = if last && inputs.taps { Taps::on() } else { Taps::off() };
        // Only the last pass is differentiated: AlphaFold stops gradients between passes.
        let model = tracked.as_ref().filter(|_| last).unwrap_or(&still);
        let outputs = model.pass(samples, previous, &taps, &mut |_| ControlFlow::Continue(()))?;
        if !last {
            previous = outputs.previous();
            continue;
        }
        let mut named = collect(&still, &outputs, &samples[0])?;
        named.extend(taps.into_map().into_iter().map(|(n, t)| (format!("taps/{n}"), t)));
        let mut arrays = named.iter().map(|(n, t)| Ok((n.clone(), array(t)?))).collect::<Result<Arrays>>()?;
        if let Some((labels, config)) = &inputs.losses {
            let outputs = outputs.to_device(&Device::Cpu)?; // where the labels are
            let losses = truth::losses(&outputs, (&samples[0], &inputs.numbers), labels, config)?;
            for (head, loss) in &losses.per_head {
                arrays.insert(format!("{head}/loss"), array(loss)?);
            }
            arrays.insert("loss".into(), array(&losses.total)?);
            if inputs.gradients {
                arrays.extend(gradients::gradients(&losses.total, &vars, &heads)?);
            }
        }
        return Ok(arrays);
    }
    unreachable!("the last pass returns")
}

/// The outputs of a pass by AlphaFold's names.
fn collect(
    model: &Model,
    outputs: &Outputs,
    sample: &features::ModelInput,
) -> Result<BTreeMap<String, Tensor>> {
    let s = &outputs.structure;
    let mut named: BTreeMap<String, Tensor> = [
        ("representations/single", &outputs.single),
        ("representations/pair", &outputs.pair),
        ("representations/msa", &outputs.msa),
        ("representations/msa_first_row", &outputs.msa_first_row),
        ("representations/structure_module", &s.single),
        ("structure_module/final_atom_positions", &s.atom37),
        ("structure_module/final_atom_mask", &s.atom37_mask),
        ("structure_module/final_atom14_positions", &s.atom14),
        ("structure_module/traj", &s.traj),
        ("structure_module/sidechains/angles_sin_cos", &s.angles),
        ("structure_module/sidechains/unnormalized_angles_sin_cos", &s.unnormalized_angles),
    ]
    .into_iter()
    .map(|(name, t)| (name.to_owned(), t.detach()))
    .collect();
    let logits = &outputs.logits;
    for (name, t) in [
        ("distogram", &logits.distogram),
        ("masked_msa", &logits.masked_msa),
        ("experimentally_resolved", &logits.experimentally_resolved),
        ("predicted_lddt", &logits.predicted_lddt),
        ("predicted_aligned_error", &logits.predicted_aligned_error),
    ] {
        if let Some(t) = t {
            named.insert(format!("{name}/logits"), t.detach());
        }
    }
    let heads = &model.config().heads;
    if let Some(head) = &heads.distogram {
        let edges = edges(head.first_break, head.last_break, head.num_bins);
        named.insert("distogram/bin_edges".into(), Tensor::new(edges, &Device::Cpu)?);
    }
    if let Some(head) = &heads.predicted_aligned_error {
        let edges = edges(0.0, head.max_error_bin, head.num_bins);
        named.insert("predicted_aligned_error/breaks".into(), Tensor::new(edges, &Device::Cpu)?);
    }
    let mask = sample.seq_mask.to_vec();
    let prediction = model.prediction(outputs, &mask)?;
    let r = mask.len();
    if logits.predicted_lddt.is_some() {
        named.insert("plddt".into(), Tensor::from_vec(prediction.plddt, r, &Device::Cpu)?);
    }
    if let (Some(pae), Some(max), Some(ptm)) = (prediction.pae, prediction.max_pae, prediction.ptm) {
        named.insert("expected_aligned_error".into(), Tensor::from_vec(pae, (r, r), &Device::Cpu)?);
        named.insert("max_predicted_aligned_error".into(), Tensor::new(max, &Device::Cpu)?);
        named.insert("ptm".into(), Tensor::new(ptm, &Device::Cpu)?);
    }
    Ok(named)
}

/// The edges between `bins` bins, Å.
fn edges(first: f32, last: f32, bins: usize) -> Vec<f32> {
    let (first, last, steps) = (f64::from(first), f64::from(last), bins.saturating_sub(2).max(1) as f64);
    (0..bins.saturating_sub(1)).map(|i| (first + (last - first) * i as f64 / steps) as f32).collect()
}

fn array(t: &Tensor) -> Result<Array> {
    Ok(Array::from_f32(t.dims(), &t.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use features::{Duplicates, FeatureConfig, RawFeatures, process};
    use ndarray::IxDyn;

    #[test]
    fn chains_are_farther_apart_than_any_clipping() {
        let query = msa::Msa::single("MKVLAW", "q");
        let raw = RawFeatures::new("MKVLAW", &[&query], Duplicates::Drop).unwrap();
        let mut features = process(&raw, &FeatureConfig::preset("model_5").unwrap(), 1).unwrap();
        let samples = features.samples.len();
        let chains = |row: [f32; 6]| ArrayD::from_shape_fn(IxDyn(&[samples, 6]), |i| row[i[1]]);
        part_chains(&mut features, &chains([1.0, 1.0, 1.0, 2.0, 2.0, 3.0])).unwrap();
        let index = &features.samples[samples - 1].residue_index;
        assert_eq!((index[2] - index[0], index[4] - index[3]), (2, 1));
        assert!(index[3] - index[2] > 1 << 16 && index[5] - index[4] > 1 << 16);
        let text = part_chains(&mut features, &chains([f32::NAN; 6])).unwrap_err().to_string();
        assert!(text.contains("asym_id"), "{text}");
    }

    #[test]
    fn edges_are_alphafolds() {
        let edges = edges(2.3125, 21.6875, 64);
        assert_eq!((edges.len(), edges[0], edges[62]), (63, 2.3125, 21.6875));
        assert!((edges[1] - 2.625).abs() < 1e-6);
        assert!(super::edges(0.0, 31.0, 1).is_empty());
    }
}
