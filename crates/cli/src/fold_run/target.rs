//! One target from alignment to files.

use super::draft::Draft;
use super::facts::{Coverage, Facts};
use super::network::Network;
use super::outputs::{self, write_model};
use super::progress::Listener;
use super::receipt::{self, Found, Receipt, Settings};
use super::templates::{self, Template};
use crate::disk;
use crate::failure::bad_input;
use crate::machine;
use crate::plan::Plan;
use crate::report::render;
use features::{Duplicates, FeatureConfig, FeatureSet, RawFeatures};
use fold::Prediction;
use msa::{Msa, Target};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What all targets of a run share.
pub struct Run<'a> {
    /// Where the targets' folders go.
    pub folder: PathBuf,
    /// What decides on a result.
    pub settings: Settings,
    /// Structures offered as templates.
    pub templates: Vec<Template>,
    /// Replace finished results of other settings.
    pub overwrite: bool,
    /// Set by Ctrl-C.
    pub stop: &'a AtomicBool,
}

/// What became of a target.
pub enum Fate {
    /// Its summary.
    Done(Value),
    /// It was finished before; its summary.
    Skipped(Value),
    /// Ctrl-C.
    Stopped,
}

/// Folds a target, unless it is finished, and tells how far it is.
///
/// # Errors  bad input where the target is to blame, and what the network or file system say.
pub fn fold_target(
    run: &Run<'_>,
    network: &mut Network,
    target: &Target,
    listener: &mut dyn Listener,
) -> anyhow::Result<Fate> {
    if target.sequence.bytes().all(|letter| letter == b'X') {
        let r = target.sequence.len();
        return Err(bad_input(format!(
            "expected at least one known residue, found {r} of `X`, which get no coordinates"
        )));
    }
    let keys: Vec<String> = run.templates.iter().map(|t| t.key.clone()).collect();
    let inputs_sha256 = receipt::inputs_sha256(target, &keys);
    let place = run.folder.join(&target.name);
    match receipt::look(&place, &inputs_sha256, &run.settings) {
        Found::Same(summary) if !run.overwrite => {
            eprintln!("INFO fold.skip job={} finished before, see {}", target.name, place.display());
            return Ok(Fate::Skipped(*summary));
        }
        Found::Foreign(what) => {
            let what = format!("expected a result of foldry or nothing, found {what}");
            return Err(bad_input(format!("{}: {what}; choose another place with -o", place.display())));
        }
        Found::Damaged(what) => {
            eprintln!("NOTE  {}: the result in {} is made again: {what}", target.name, place.display());
        }
        Found::Differs(what) if !run.overwrite => {
            let what = what.join(", ");
            return Err(bad_input(format!(
                "{}: finished before with {what}; --overwrite replaces it",
                place.display()
            )));
        }
        _ => {}
    }
    let start = Instant::now();
    let mut notes: Vec<String> = target.notes.iter().map(ToString::to_string).collect();
    let single = Msa::single(&target.sequence, &target.description);
    let msa = target.msa.as_ref().unwrap_or(&single);
    if msa.rows() == 1 {
        notes.push("no alignment: one sequence alone, expect low confidence".into());
    }
    let mut raw = RawFeatures::new(&target.sequence, &[msa], Duplicates::Drop).map_err(bad_input)?;
    let mut template_report = Vec::new();
    let mut used = 0;
    if !run.templates.is_empty() {
        if network.has_templates() {
            let (found, mut reports) =
                templates::align(&target.sequence, &run.templates).map_err(bad_input)?;
            used = found.len().min(network.features.eval.max_templates);
            templates::keep_first(&mut reports, used);
            template_report.extend(reports.iter().map(|t| {
                notes.push(templates::describe(t));
                json!({"name": t.name, "chain": t.chain, "used": t.refused.is_none(), "refused": t.refused,
                       "aligned": t.aligned, "identity": t.identity, "coverage": t.coverage})
            }));
            raw = raw.with_templates(found).map_err(bad_input)?;
        } else {
            notes.push(format!("{} reads no templates; those given are not used", network.model));
        }
    }
    for note in &notes {
        listener.note(&target.name, note);
    }
    let coverage = Coverage::of(msa);
    if let Some(coverage) = &coverage {
        listener.coverage(msa.rows(), coverage.neff, &coverage.bands);
    }

    let config = trimmed(&network.features, &raw, used);
    let passes = run.settings.recycles + 1;
    let (r, threads) = (target.sequence.len(), machine::threads());
    let dims = network.dims(r, config.num_clusters() + used, config.common.max_extra_msa, used);
    // A GPU's plan knows its memory; no time has been measured on one.
    let plan = (!network.is_on_gpu())
        .then(|| Plan::new(&dims, passes * config.eval.num_ensemble, threads, machine::gflops()));
    let gpu_plan = network.plan_on_gpu(&dims, passes).transpose().map_err(bad_input)?;
    if let Some((plan, words)) = &gpu_plan {
        listener.plan(words, plan.bytes, None);
    }
    if let Some(plan) = &plan {
        let available = machine::memory().map(|m| m.available);
        let words = plan.describe(&dims, passes, threads, available);
        listener.plan(&words, plan.bytes, Some(plan.seconds));
        if let Some(why) = plan.refusal(&dims, available) {
            return Err(bad_input(why));
        }
    }

    let bytes = run.settings.num_seeds as u64 * outputs::size(r, network.has_pae());
    disk::check(&run.folder, bytes, "the result")?;

    let draft = Draft::begin(&run.folder, &target.name)?;
    let mut ranked: Vec<(u64, Prediction)> = Vec::new();
    let mut features_sha256 = Vec::new();
    let mut timings = json!({"features": 0.0, "network": 0.0});
    for seed in (0..run.settings.num_seeds as u64).map(|i| run.settings.seed + i) {
        let job = match run.settings.num_seeds {
            1 => target.name.clone(),
            _ => format!("{}/seed{seed}", target.name),
        };
        listener.begin(&job, seed);
        listener.stage("features");
        let begun = Instant::now();
        let mut set = features::process(&raw, &config, seed).map_err(bad_input)?;
        // No template at all: the network skips their part rather than reading empty arrays.
        for sample in set.samples.iter_mut().filter(|s| s.num_templates() == 0) {
            sample.templates = None;
        }
        features_sha256.push(hash(&set));
        add(&mut timings, "features", begun);
        listener.stage("network");
        let begun = Instant::now();
        let options = fold::PredictOptions {
            recycles: run.settings.recycles,
            tolerance: run.settings.recycle_tolerance,
        };
        let mut watch = |step: &fold::Step| {
            listener.step(step);
            if run.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let outcome = network.predict(&set, &options, &mut watch);
        listener.end();
        let Some(predicted) = outcome? else { return Ok(Fate::Stopped) };
        add(&mut timings, "network", begun);
        ranked.push((seed, predicted));
    }
    // Best first; a tie keeps the order of seeds.
    ranked.sort_by(|a, b| b.1.mean_plddt().total_cmp(&a.1.mean_plddt()));

    listener.stage("write");
    let facts = Facts { run, network, target, msa, coverage: coverage.as_ref(), used, notes: &notes };
    let mut ranking = Vec::new();
    for (i, (seed, model)) in ranked.iter().enumerate() {
        let provenance = facts.provenance(*seed, model);
        let files = write_model(&draft, &target.name, &target.sequence, i + 1, model, &provenance)?;
        ranking.push(json!({"rank": i + 1, "seed": seed, "mean_plddt": model.mean_plddt(), "ptm": model.ptm,
                            "passes": model.passes, "files": files}));
    }
    timings["total"] = json!(seconds(start));
    let receipt =
        Receipt { engine: receipt::engine(), inputs_sha256, features_sha256, settings: run.settings.clone() };
    let mut summary = json!({
        "name": target.name,
        "inputs": {"source": target.source, "description": target.description, "residues": r,
                   "msa_rows": msa.rows(), "msa_rows_distinct": raw.num_alignments(), "templates": template_report},
        "notes": notes,
        "ranked_by": "mean_plddt",
        "ranking": ranking,
        "plan": plan
            .map(|plan| json!({"bytes": plan.bytes, "seconds": plan.seconds}))
            .or(gpu_plan.map(|(plan, _)| json!({"bytes": plan.bytes, "room": plan.room}))),
        "timings": timings,
        "threads": threads,
        "receipt": receipt,
    });
    draft.write("report.html", &render(&facts.report(&ranked, &receipt, seconds(start))))?;
    draft.write_summary(&mut summary)?;
    draft.finish()?;
    let best = ranked.first().map_or(0.0, |(_, model)| model.mean_plddt());
    listener.done(&format!(
        "INFO fold.done job={} residues={r} plddt={best:.1} secs={:.1} folder={}",
        target.name,
        seconds(start),
        place.display()
    ));
    Ok(Fate::Done(summary))
}

/// The model's configuration without padding that no row would fill: the rows drawn are the same, masked
/// rows change nothing, and a shallow alignment costs what it is worth. One extra row is kept, but for networks
/// whose configuration does not pad: they were trained without one.
fn trimmed(config: &FeatureConfig, raw: &RawFeatures, templates: usize) -> FeatureConfig {
    let mut config = config.clone();
    let rows = raw.num_alignments();
    let clusters = config.num_clusters().min(rows);
    let reduce = config.common.reduce_msa_clusters_by_max_templates;
    let least = usize::from(config.eval.fixed_size);
    config.common.max_extra_msa = config.common.max_extra_msa.min(rows - clusters).max(least);
    config.eval.max_templates = templates;
    config.eval.max_msa_clusters = clusters + if reduce { templates } else { 0 };
    config.eval.fixed_size = true;
    config.eval.crop_size = None;
    config
}

fn hash(set: &FeatureSet) -> String {
    let arrays = set.to_arrays();
    let parts: Vec<Vec<u8>> =
        arrays.iter().flat_map(|(name, array)| [name.as_bytes().to_vec(), array.to_le_bytes()]).collect();
    receipt::sha256(parts.iter().map(Vec::as_slice))
}

fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
}

fn add(timings: &mut Value, stage: &str, since: Instant) {
    timings[stage] = json!(timings[stage].as_f64().unwrap_or(0.0) + seconds(since));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Padding taken away draws the same rows.
    #[test]
    fn trimming_keeps_every_row_drawn() {
        let text: String =
            (0..9).map(|i| format!(">r{i}\n{}\n", &"MKVLAWGDEYFRNQH"[i % 3..i % 3 + 11])).collect();
        let text = format!("{text}>d1\n-------WGDE\n>d2\nMK---------\n>d3\nMK--AW-----\n>d4\nMKVVVWGDEYF\n");
        let target = msa::parse("t.a3m", text.as_bytes(), &msa::Limits::default()).unwrap().remove(0);
        let raw =
            RawFeatures::new(&target.sequence, &[target.msa.as_ref().unwrap()], Duplicates::Drop).unwrap();
        assert_eq!(raw.num_alignments(), 7);
        for (clusters, extra) in [(512, 1024), (9, 3), (7, 2)] {
            let mut config = FeatureConfig::preset("model_1").unwrap();
            (config.eval.max_msa_clusters, config.common.max_extra_msa) = (clusters, extra);
            let full = features::process(&raw, &config, 5).unwrap();
            let small = trimmed(&config, &raw, 0);
            let set = features::process(&raw, &small, 5).unwrap();
            assert_eq!(small.num_clusters(), config.num_clusters().min(7));
            for (a, b) in full.samples.iter().zip(&set.samples) {
                assert!(b.num_msa() <= a.num_msa() && b.num_extra() <= a.num_extra());
                for (i, row) in b.msa_feat.outer_iter().enumerate() {
                    assert_eq!(row, a.msa_feat.index_axis(ndarray::Axis(0), i));
                }
                for (i, row) in b.extra_msa.outer_iter().enumerate() {
                    assert_eq!(row, a.extra_msa.row(i));
                }
                assert_eq!(a.msa_mask.sum(), b.msa_mask.sum());
                assert_eq!(a.extra_msa_mask.sum(), b.extra_msa_mask.sum());
            }
        }
    }

    /// A network that was trained without padding never sees a row of it.
    #[test]
    fn networks_that_do_not_pad_get_no_row_of_padding() {
        let query = msa::Msa::single("MKVLAWGDEYFRNQ", "q");
        let raw = RawFeatures::new("MKVLAWGDEYFRNQ", &[&query], Duplicates::Drop).unwrap();
        let rows = |fixed_size: bool| {
            let mut config = FeatureConfig::preset("model_5").unwrap();
            config.eval.fixed_size = fixed_size;
            let set = features::process(&raw, &trimmed(&config, &raw, 0), 1).unwrap();
            (set.samples[0].num_msa(), set.samples[0].num_extra())
        };
        assert_eq!((rows(true), rows(false)), ((1, 1), (1, 0)));
    }

    /// The network says the same of padded features and of trimmed ones without their empty templates.
    #[test]
    fn trimming_changes_no_prediction() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let golden = root.join("tests/golden/fold");
        let chosen = super::super::choose("auto", Some(&golden.join("params.npz"))).unwrap();
        let config = golden.join("config.json");
        let precision = crate::precision::Precision::F32;
        let device = crate::device::Choice::Cpu.open(precision.on_gpu()).unwrap();
        let mut network = Network::open(&chosen, Some(&config), precision, device).unwrap();
        let text = ">q\nMKVLAWGDEYFRNQ\n>a\nMKV-AWGDEYFRNQ\n>b\nMRVLSWGEEYFRNQ\n";
        let target = msa::parse("t.a3m", text.as_bytes(), &msa::Limits::default()).unwrap().remove(0);
        let raw =
            RawFeatures::new(&target.sequence, &[target.msa.as_ref().unwrap()], Duplicates::Drop).unwrap();
        let mut padded = network.features.clone();
        (padded.eval.fixed_size, padded.common.num_recycle) = (true, 1);
        let small = trimmed(&padded, &raw, 0);
        let options = fold::PredictOptions { recycles: 1, tolerance: 0.0 };
        let mut predict = |config: &FeatureConfig, strip: bool| {
            let mut set = features::process(&raw, config, 3).unwrap();
            set.samples.iter_mut().filter(|_| strip).for_each(|s| s.templates = None);
            let mut watch = |_: &fold::Step| ControlFlow::Continue(());
            (set.samples[0].num_msa(), network.predict(&set, &options, &mut watch).unwrap().unwrap())
        };
        let ((rows, a), (fewer, b)) = (predict(&padded, false), predict(&small, true));
        assert!(fewer < rows, "{fewer} of {rows}");
        for (x, y) in a.plddt.iter().zip(&b.plddt) {
            assert!((x - y).abs() < 0.01, "{x} {y}");
        }
        for (x, y) in a.positions.iter().flatten().flatten().zip(b.positions.iter().flatten().flatten()) {
            assert!((x - y).abs() < 2e-3, "{x} {y}");
        }
    }
}
