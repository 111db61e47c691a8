//! `foldry fold INPUT...`: sequences or alignments in, coordinates with confidences out.

use crate::failure::{BadInput, Interrupted, bad_input};
use crate::fold_run::{Fate, Network, Precision, Run, Settings, choose, fold_target, read_templates, sha256};
use anyhow::Context;
use msa::{Limits, Target};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Predict structures: PDB, ModelCIF, confidences and a report for each target.
#[derive(clap::Args)]
pub struct Args {
    /// FASTA (many records), A3M or Stockholm files, also .gz and .zst, folders of them, or `-` for standard input.
    #[arg(required = true)]
    input: Vec<PathBuf>,
    /// Folder in which every target gets its own.
    #[arg(short, long, value_name = "DIR", default_value = "predictions")]
    output: PathBuf,
    /// model_1 … model_5, model_1_ptm … model_5_ptm or finetuning_…; auto is what the parameters say, or the first installed.
    #[arg(long, default_value = "auto")]
    model: String,
    /// Parameter file (.npz, .pt, .safetensors) instead of an installed one.
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// AlphaFold's configuration as JSON (its sections data and model), for networks of other sizes.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Recycles after the first pass; by default what the model has, 3.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1000))]
    recycles: Option<u64>,
    /// Stop recycling when distances between Cα change by less than this on average, Å; 0 is never.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    recycle_tolerance: f64,
    /// Seed of the rows drawn and masked.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Predictions of each target, with consecutive seeds, ranked by mean pLDDT.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    num_seeds: u64,
    /// Alignment rows at most: clustered and extra ones, as in 512:1024.
    #[arg(long, value_name = "C:E")]
    max_msa: Option<MaxMsa>,
    /// Alignment for the one target given.
    #[arg(long, value_name = "FILE")]
    msa: Option<PathBuf>,
    /// Where alignments come from: by default from the input or --msa; single uses the sequence alone.
    #[arg(long, value_enum)]
    msa_mode: Option<MsaMode>,
    /// Structures to use as templates, PDB or mmCIF; `:CHAIN` picks a chain.
    #[arg(long, value_name = "FILE[:CHAIN]", num_args = 1..)]
    templates: Vec<String>,
    /// Where to compute; this build has the CPU.
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceKind,
    /// Number type of the parameters: bf16 rounds them to bf16, arithmetic stays in f32.
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Precision,
    /// Same bits on every run and any number of threads; this is so on the CPU in any case.
    #[arg(long)]
    deterministic: bool,
    /// Replace finished results.
    #[arg(long)]
    overwrite: bool,
    /// Print the summaries of all targets as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum MsaMode {
    Single,
    Server,
    Local,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DeviceKind {
    Auto,
    Cpu,
    Cuda,
}

/// Clustered and extra rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MaxMsa {
    clusters: usize,
    extra: usize,
}

impl FromStr for MaxMsa {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(c, e)| Some((c.parse().ok()?, e.parse().ok()?)));
        match parts {
            Some((clusters, extra)) if clusters > 0 => Ok(Self { clusters, extra }),
            _ => Err(format!("expected two row counts as in 512:1024, the first at least 1, found `{text}`")),
        }
    }
}

/// Folds every target; one that fails does not stop the others.
pub fn run(args: Args) -> anyhow::Result<()> {
    if matches!(args.msa_mode, Some(MsaMode::Server | MsaMode::Local)) {
        return Err(bad_input(
            "--msa-mode server and local are not in this version: give an alignment (.a3m, .sto) as input or with --msa",
        ));
    }
    if args.device == DeviceKind::Cuda {
        return Err(bad_input("--device cuda: this build has no GPU support, expected auto or cpu"));
    }
    if !(args.recycle_tolerance >= 0.0 && args.recycle_tolerance.is_finite()) {
        return Err(bad_input(format!(
            "--recycle-tolerance: expected 0 Å or more, found {}",
            args.recycle_tolerance
        )));
    }
    let targets = load(&args)?;
    let templates = read_templates(&args.templates)?;
    let chosen = choose(&args.model, args.params.as_deref())?;
    let mut network = Network::open(&chosen, args.config.as_deref(), args.dtype)?;
    let settings = settings(&args, &mut network)?;

    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // asked twice: do not wait for the block
        }
        eprintln!("INFO fold.stop stopping after this block; once more to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;

    std::fs::create_dir_all(&args.output)
        .with_context(|| args.output.display().to_string())
        .map_err(|e| bad_input(format!("{e:#}")))?;
    let run = Run { folder: args.output, settings, templates, overwrite: args.overwrite, stop: &stop };
    let (mut summaries, mut errors, mut stopped) = (Vec::new(), Vec::new(), false);
    for target in &targets {
        let fate = if stop.load(Ordering::Relaxed) {
            Ok(Fate::Stopped)
        } else {
            fold_target(&run, &mut network, target)
        };
        match fate {
            Ok(Fate::Done(summary) | Fate::Skipped(summary)) => summaries.push(summary),
            Ok(Fate::Stopped) => {
                stopped = true;
                break;
            }
            Err(error) => {
                if targets.len() > 1 {
                    eprintln!("ERROR  {}: {error:#}", target.name);
                }
                errors.push((target.name.as_str(), error));
            }
        }
    }
    if args.json {
        println!("{}", serde_json::to_string(&summaries)?);
    }
    if stopped {
        return Err(anyhow::Error::new(Interrupted));
    }
    verdict(errors, targets.len())
}

/// The end of a run: nothing, the one error, or how many failed; bad input only if all of them were.
fn verdict(mut errors: Vec<(&str, anyhow::Error)>, count: usize) -> anyhow::Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    if let Some((name, error)) = errors.pop_if(|_| count == 1) {
        let bad = error.chain().any(|e| e.is::<BadInput>());
        return Err(if bad {
            bad_input(format!("{name}: {error:#}"))
        } else {
            error.context(name.to_string())
        });
    }
    let names: Vec<&str> = errors.iter().map(|(name, _)| *name).collect();
    let text = format!("{} of {count} targets failed: {}", errors.len(), names.join(", "));
    let all_bad = errors.iter().all(|(_, error)| error.chain().any(|e| e.is::<BadInput>()));
    Err(if all_bad { bad_input(text) } else { anyhow::anyhow!(text) })
}

fn load(args: &Args) -> anyhow::Result<Vec<Target>> {
    let limits = Limits::default();
    let loaded = msa::load(&args.input, &limits).map_err(bad_input)?;
    for path in &loaded.skipped {
        eprintln!("NOTE  {}: skipped, expected .fasta, .a3m or .sto", path.display());
    }
    let mut targets = loaded.targets;
    if let Some(path) = &args.msa {
        let count = targets.len();
        let [target] = targets.as_mut_slice() else {
            return Err(bad_input(format!("--msa belongs to one target, found {count} in the input")));
        };
        let (msa, notes) = msa::load_alignment(path, &limits).map_err(bad_input)?;
        target.attach(msa, &path.display().to_string()).map_err(bad_input)?;
        target.notes.extend(notes);
    }
    if args.msa_mode == Some(MsaMode::Single) {
        targets.iter_mut().for_each(|target| target.msa = None);
    }
    if targets.is_empty() {
        return Err(bad_input("expected at least one target, found none"));
    }
    Ok(targets)
}

/// The settings a result depends on; brings the network's feature configuration in line with them.
fn settings(args: &Args, network: &mut Network) -> anyhow::Result<Settings> {
    let config = &mut network.features;
    if let Some(rows) = args.max_msa {
        config.eval.max_msa_clusters = rows.clusters;
        config.common.max_extra_msa = rows.extra;
    }
    if let Some(recycles) = args.recycles {
        config.common.num_recycle = recycles as usize;
    }
    config.validate().map_err(bad_input)?;
    let text = serde_json::to_vec(&*config)?;
    Ok(Settings {
        recycles: config.common.num_recycle,
        max_msa_clusters: config.eval.max_msa_clusters,
        max_extra_msa: config.common.max_extra_msa,
        config_sha256: sha256([text.as_slice()]),
        model: network.model.clone(),
        weights_sha256: network.weights_sha256.clone(),
        dtype: args.dtype.name().into(),
        device: "cpu".into(),
        recycle_tolerance: args.recycle_tolerance,
        seed: args.seed,
        num_seeds: args.num_seeds as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_two_numbers() {
        assert_eq!("512:1024".parse(), Ok(MaxMsa { clusters: 512, extra: 1024 }));
        assert_eq!("1:0".parse(), Ok(MaxMsa { clusters: 1, extra: 0 }));
        for bad in ["512", "0:4", "a:b", ":", "5:-1"] {
            assert!(bad.parse::<MaxMsa>().unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn verdict_is_bad_input_only_if_all_were() {
        let code = |errors, count| {
            let error: anyhow::Error = verdict(errors, count).unwrap_err();
            (error.chain().any(|e| e.is::<BadInput>()), format!("{error:#}"))
        };
        assert!(verdict(vec![], 3).is_ok());
        assert_eq!(code(vec![("a", bad_input("no"))], 1), (true, "a: no".into()));
        assert_eq!(code(vec![("a", anyhow::anyhow!("disk"))], 1), (false, "a: disk".into()));
        assert!(code(vec![("a", bad_input("no")), ("b", bad_input("no"))], 2).0);
        let mixed = code(vec![("a", bad_input("no")), ("b", anyhow::anyhow!("disk"))], 5);
        assert_eq!(mixed, (false, "2 of 5 targets failed: a, b".into()));
    }
}
