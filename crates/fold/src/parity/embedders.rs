//! Input, relative positions, recycling and extra MSA, from the features as the network reads them. Where ours
//! gives a sum, the sum of AlphaFold's terms is formed from what its modules gave.

use super::golden::{Golden, RESIDUES};
use super::layers::{Kind, apply};
use super::report::Report;
use crate::Result;
use crate::convert::{distance_bins, from_vec, triples, values};
use crate::input::{ExtraEmbedder, InputEmbedder};
use crate::outputs::Previous;
use crate::recycling::RecyclingEmbedder;
use candle_core::{Device, Tensor};

pub fn cases(golden: &Golden, report: &mut Report) -> Result<()> {
    let x = &golden.sample;
    let given = |module: &str| golden.tap(&format!("evoformer/{module}#0:out"));

    let input = InputEmbedder::load(&golden.params.sub("input_embedder"), &golden.config)?;
    let (m, z) = input.forward(x, input.features(x)?)?;
    let terms = given("preprocess_msa").broadcast_add(&given("preprocess_1d").unsqueeze(0)?)?;
    report.compare_with("input_embedder, msa", &terms, &m);
    let terms = given("left_single").unsqueeze(1)?.broadcast_add(&given("right_single").unsqueeze(0)?)?;
    report.compare_with("input_embedder, pair", &terms, &z);

    let relative = input.relative_positions(x)?.expect("the golden has relative positions").tensor()?;
    report.compare(golden, "evoformer/pair_activiations#0:out", &relative);

    let extra = ExtraEmbedder::load(&golden.params.sub("extra_msa_embedder"), &golden.config)?;
    report.compare(golden, "evoformer/extra_msa_activations#0:out", &extra.forward(extra.features(x)?)?);

    // The first pass recycles zeros.
    let t = &golden.config.embeddings_and_evoformer;
    let zeros = |shape: &[usize]| from_vec(vec![0.0; shape.iter().product()], shape, &Device::Cpu);
    let nothing = Previous {
        msa_first_row: zeros(&[RESIDUES, t.msa_channel])?,
        pair: zeros(&[RESIDUES, RESIDUES, t.pair_channel])?,
        positions: zeros(&[RESIDUES, 37, 3])?,
    };
    recycling(golden, report, &nothing, given, "zeros")
}

/// The second pass recycles what the first gave.
pub fn recycled(golden: &Golden, report: &mut Report) -> Result<()> {
    let name = |module: &str, value: &str| format!("pass_1/evoformer/{module}#0:{value}");
    for (module, kind, path) in [
        ("prev_pos_linear", Kind::Linear, "recycling_embedder.linear"),
        ("prev_msa_first_row_norm", Kind::Norm, "recycling_embedder.layer_norm_m"),
        ("prev_pair_norm", Kind::Norm, "recycling_embedder.layer_norm_z"),
    ] {
        let (x, out) = (golden.tap(&name(module, "in0")), name(module, "out"));
        report.compare(golden, &out, &apply(golden, kind, path, &x, &out)?);
    }

    let first = Previous {
        msa_first_row: golden.tap(&name("prev_msa_first_row_norm", "in0")),
        pair: golden.tap(&name("prev_pair_norm", "in0")),
        positions: golden.output("recycle_0/structure_module/final_atom_positions"),
    };
    let atoms = triples(&values(&first.positions)?);
    let beta = |(i, &a): (usize, &u8)| atoms[i * 37 + chem::atoms::pseudo_beta(a)];
    let beta: Vec<[f32; 3]> = golden.aatype().iter().enumerate().map(beta).collect();
    let bins = &golden.config.embeddings_and_evoformer.prev_pos;
    let distances = distance_bins(&beta, bins.num_bins, bins.min_bin, bins.max_bin);
    let distances = from_vec(distances, &[RESIDUES, RESIDUES, bins.num_bins], &Device::Cpu)?;
    report.compare(golden, &name("prev_pos_linear", "in0"), &distances);
    recycling(golden, report, &first, |module| golden.tap(&name(module, "out")), "a pass")
}

fn recycling(
    golden: &Golden,
    report: &mut Report,
    previous: &Previous,
    given: impl Fn(&str) -> Tensor,
    what: &str,
) -> Result<()> {
    let embedder = RecyclingEmbedder::load(&golden.params.sub("recycling_embedder"), &golden.config)?;
    let (m, z) = (previous.msa_first_row.zeros_like()?.unsqueeze(0)?, previous.pair.zeros_like()?);
    let (m, z) = embedder.forward(m, z, previous, &golden.aatype())?;
    let row = given("prev_msa_first_row_norm").unsqueeze(0)?;
    report.compare_with(&format!("recycling_embedder of {what}, msa"), &row, &m);
    let terms = (given("prev_pos_linear") + given("prev_pair_norm"))?;
    report.compare_with(&format!("recycling_embedder of {what}, pair"), &terms, &z);
    Ok(())
}
