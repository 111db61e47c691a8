//! `foldry fold INPUT...`: sequences or alignments in, coordinates with confidences out.

use crate::device::Choice;
use crate::disk;
use crate::embedded;
use crate::failure::{BadInput, Interrupted, bad_input, text};
use crate::fold_run::{
    Console, Fate, Network, Run, Source, Wanted, choose, fold_target, read_templates, settle,
};
use crate::precision::Precision;
use anyhow::Context;
use msa::{Limits, Target};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Predict structures: PDB, ModelCIF, confidences and a report for each target.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)] // so that `--seed -1` is told what is wrong with it
pub struct Args {
    /// FASTA (many records), A3M or Stockholm files, also .gz and .zst, folders of them, or `-` for standard input.
    #[arg(required = true)]
    input: Vec<PathBuf>,
    /// Folder in which every target gets its own.
    #[arg(short, long, value_name = "DIR", default_value = "predictions")]
    output: PathBuf,
    /// mini (built in), model_1 … model_5, model_1_ptm … model_5_ptm or finetuning_…; auto is what the parameters say, or the first installed, or mini.
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
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Predictions of each target, with consecutive seeds, ranked by mean pLDDT.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    num_seeds: u64,
    /// Alignment rows at most: clustered and extra ones, as in 512:1024.
    #[arg(long, value_name = "C:E")]
    max_msa: Option<MaxMsa>,
    /// Alignment for the one target given, A3M or Stockholm.
    #[arg(long, value_name = "FILE", conflicts_with = "msa_mode")]
    msa: Option<PathBuf>,
    /// Where alignments come from: by default from the input or --msa; single uses the sequence alone.
    #[arg(long, value_enum)]
    msa_mode: Option<MsaMode>,
    /// Structures to use as templates, PDB or mmCIF, also .gz and .zst; `:CHAIN` picks a chain, else the most
    /// similar one is used. `=ALIGNMENT` says which residues belong together: FASTA of two rows (target,
    /// template), or JSON with `queryIndices` and `templateIndices` from 0; else the sequences are aligned.
    /// Takes all names up to the next option: put INPUT before it.
    #[arg(long, value_name = "FILE[:CHAIN][=ALIGNMENT]", num_args = 1..)]
    templates: Vec<String>,
    /// Where to compute: auto (a GPU if this build can use one that is there), cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    device: Choice,
    /// Numbers that the matrix products of the Evoformer, extra-MSA and template stacks take. bf16 is up to twice as fast
    /// where the CPU multiplies it, and rounds the weights elsewhere; all else is f32
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
    if !(args.recycle_tolerance >= 0.0 && args.recycle_tolerance.is_finite()) {
        return Err(bad_input(format!(
            "--recycle-tolerance: expected 0 Å or more, found {}",
            args.recycle_tolerance
        )));
    }
    if args.seed.checked_add(args.num_seeds - 1).is_none() {
        let (seed, count) = (args.seed, args.num_seeds);
        return Err(bad_input(format!(
            "--seed {seed} with {count} seeds: expected none beyond {}",
            u64::MAX
        )));
    }
    if args.output.exists() && !args.output.is_dir() {
        let output = args.output.display();
        return Err(bad_input(format!("--output {output}: expected a folder for the results, found a file")));
    }
    let device = args.device.open(args.dtype.on_gpu())?;
    let (targets, refused) = load(&args)?;
    let templates = read_templates(&args.templates)?;
    let chosen = choose(&args.model, args.params.as_deref())?;
    if chosen.source == Source::Embedded {
        eprintln!("NOTE  using the built-in model {}: {}", embedded::NAME, embedded::accuracy()?);
        if args.model == "auto" {
            eprintln!(
                "      no other parameters are installed; `foldry weights pull model_1_ptm` gets AlphaFold's"
            );
        }
    }
    let mut network = Network::open(&chosen, args.config.as_deref(), args.dtype, device)?;
    let wanted = Wanted {
        recycles: args.recycles,
        recycle_tolerance: args.recycle_tolerance,
        seed: args.seed,
        num_seeds: args.num_seeds,
        max_msa: args.max_msa.map(|rows| (rows.clusters, rows.extra)),
        dtype: args.dtype,
    };
    let settings = settle(&wanted, &mut network)?;

    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // asked twice: do not wait for the block
        }
        eprintln!("INFO fold.stop stopping after this block; once more to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;

    std::fs::create_dir_all(&args.output).map_err(|e| {
        bad_input(format!("--output {}: cannot make this folder: {e}", args.output.display()))
    })?;
    let run = Run { folder: args.output, settings, templates, overwrite: args.overwrite, stop: &stop };
    let (mut summaries, mut errors, mut stopped) = (Vec::new(), Vec::new(), false);
    let mut begun = 0;
    for target in &targets {
        begun += 1;
        let fate = if stop.load(Ordering::Relaxed) {
            Ok(Fate::Stopped)
        } else {
            fold_target(&run, &mut network, target, &mut Console::default())
        };
        match fate {
            Ok(Fate::Done(summary) | Fate::Skipped(summary)) => summaries.push(summary),
            Ok(Fate::Stopped) => {
                stopped = true;
                break;
            }
            Err(error) => {
                let last = network.is_unusable() || disk::is_full(&error);
                if last || (targets.len() == 1 && refused == 0) {
                    // Every further target would meet the same.
                    errors.push((target.name.as_str(), error));
                    break;
                }
                eprintln!("ERROR  {}: {}", target.name, text(&error));
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
    verdict(errors, Counts { targets: targets.len(), begun, refused })
}

/// Of a run.
#[derive(Clone, Copy)]
struct Counts {
    /// Read from the input.
    targets: usize,
    /// Of them, looked at before the run ended.
    begun: usize,
    /// Files and records of the input that could not be read.
    refused: usize,
}

/// The end of a run: nothing, the one error, or how many failed; bad input only if all of them were.
fn verdict(mut errors: Vec<(&str, anyhow::Error)>, counts: Counts) -> anyhow::Result<()> {
    let Counts { targets, begun, refused } = counts;
    let is_bad = |error: &anyhow::Error| error.chain().any(|e| e.is::<BadInput>());
    let left = targets - begun;
    if let Some((name, error)) = errors.pop_if(|_| left > 0 || (targets == 1 && refused == 0)) {
        let rest = match left {
            0 => String::new(),
            _ => format!("; {left} more of {targets} targets were not begun"),
        };
        let text = format!("{name}: {}{rest}", text(&error));
        return Err(if is_bad(&error) { bad_input(text) } else { anyhow::anyhow!(text) });
    }
    let mut parts = Vec::new();
    if !errors.is_empty() {
        let names: Vec<&str> = errors.iter().map(|(name, _)| *name).take(10).collect();
        let more = if errors.len() > names.len() { ", …" } else { "" };
        parts.push(format!("{} of {targets} targets failed: {}{more}", errors.len(), names.join(", ")));
    }
    if refused > 0 {
        parts.push(format!("{refused} of the inputs could not be read, see above"));
    }
    if parts.is_empty() {
        return Ok(());
    }
    let parts = parts.join("; ");
    let all_bad = errors.iter().all(|(_, error)| is_bad(error));
    Err(if all_bad { bad_input(parts) } else { anyhow::anyhow!(parts) })
}

/// Folders may hold many files that are no input; so many are named.
const SKIPPED_SHOWN: usize = 8;

/// The targets, and how many inputs could not be read. What is wrong with those is said.
fn load(args: &Args) -> anyhow::Result<(Vec<Target>, usize)> {
    let limits = Limits::default();
    let mut loaded = msa::load(&args.input, &limits).map_err(bad_input)?;
    for path in loaded.skipped.iter().take(SKIPPED_SHOWN) {
        let what = if path.is_dir() {
            "a folder within a folder"
        } else {
            "expected .fasta, .a3m or .sto (also .gz or .zst)"
        };
        eprintln!("NOTE  {}: skipped, {what}", path.display());
    }
    if let Some(more) = loaded.skipped.len().checked_sub(SKIPPED_SHOWN).filter(|&n| n > 0) {
        eprintln!("NOTE  {more} more files of no known format skipped");
    }
    if loaded.targets.is_empty() && loaded.failed.len() == 1 {
        return Err(bad_input(loaded.failed.remove(0)));
    }
    for error in &loaded.failed {
        eprintln!("ERROR  {error}");
    }
    let (mut targets, refused) = (loaded.targets, loaded.failed.len());
    if targets.is_empty() {
        return Err(bad_input("expected at least one target, found none"));
    }
    if let Some(path) = &args.msa {
        let count = targets.len() + refused;
        let (1, [target]) = (count, targets.as_mut_slice()) else {
            return Err(bad_input(format!("--msa belongs to one target, found {count} in the input")));
        };
        let (msa, notes) = msa::load_alignment(path, &limits).map_err(bad_input)?;
        if let Some(own) = &target.msa {
            let rows = own.rows();
            eprintln!("NOTE  {}: --msa takes the place of the input's own {rows} rows", target.name);
        }
        target.attach(msa, &path.display().to_string()).map_err(bad_input)?;
        target.notes.extend(notes);
    }
    if args.msa_mode == Some(MsaMode::Single) {
        for target in &mut targets {
            if let Some(msa) = target.msa.take() {
                let rows = msa.rows();
                eprintln!("NOTE  {}: --msa-mode single: the input's {rows} rows are not used", target.name);
            }
        }
    }
    Ok((targets, refused))
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
        let code = |errors, targets, begun, refused| {
            let error: anyhow::Error = verdict(errors, Counts { targets, begun, refused }).unwrap_err();
            (error.chain().any(|e| e.is::<BadInput>()), format!("{error:#}"))
        };
        assert!(verdict(vec![], Counts { targets: 3, begun: 3, refused: 0 }).is_ok());
        assert_eq!(code(vec![("a", bad_input("no"))], 1, 1, 0), (true, "a: no".into()));
        assert_eq!(code(vec![("a", anyhow::anyhow!("disk"))], 1, 1, 0), (false, "a: disk".into()));
        assert!(code(vec![("a", bad_input("no")), ("b", bad_input("no"))], 2, 2, 0).0);
        let mixed = code(vec![("a", bad_input("no")), ("b", anyhow::anyhow!("disk"))], 5, 5, 0);
        assert_eq!(mixed, (false, "2 of 5 targets failed: a, b".into()));
        let unread = code(vec![("a", bad_input("no"))], 5, 5, 2);
        let says = "1 of 5 targets failed: a; 2 of the inputs could not be read, see above";
        assert_eq!(unread, (true, says.into()));
        let ended = code(vec![("a", bad_input("no")), ("b", anyhow::anyhow!("disk"))], 9, 2, 0);
        assert_eq!(ended, (false, "b: disk; 7 more of 9 targets were not begun".into()));
    }
}
