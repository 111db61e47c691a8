//! `foldry fold INPUT...`: sequences or alignments in, coordinates with confidences out.

use crate::device::Choice;
use crate::disk;
use crate::embedded;
use crate::failure::{BadInput, Interrupted, bad_input, text};
use crate::fold_run::{
    Console, Fate, Network, Run, Source, Template, Wanted, choose, fold_target, read_templates, settle,
};
use crate::intake::{self, Asked, Intake};
use crate::precision::Precision;
use anyhow::Context;
use msa::Limits;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Predict structures: PDB, ModelCIF, confidences and a report for each target.
#[derive(clap::Args)]
#[command(allow_negative_numbers = true)] // so that `--seed -1` is told what is wrong with it
pub struct Args {
    /// FASTA (many records), A3M or Stockholm files, also .gz and .zst, folders of them, or `-` for standard input;
    /// job files of AlphaFold Server, AlphaFold 3, Boltz and ColabFold (.json, .yaml, .csv), or bodies of `POST /v1/jobs`.
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
    #[arg(long, value_name = "X")]
    recycle_tolerance: Option<f64>,
    /// Seed of the rows drawn and masked; by default what a job file says, or 0.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Predictions of each target, with consecutive seeds, ranked by mean pLDDT; by default what a job file says, or 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    num_seeds: Option<u64>,
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
pub struct MaxMsa {
    clusters: usize,
    extra: usize,
}

impl MaxMsa {
    /// Clustered rows, extra rows.
    pub fn rows(self) -> (usize, usize) {
        (self.clusters, self.extra)
    }
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
    wanted(&args, None)?; // before anything is read
    if args.output.exists() && !args.output.is_dir() {
        let output = args.output.display();
        return Err(bad_input(format!("--output {output}: expected a folder for the results, found a file")));
    }
    let device = args.device.open(args.dtype.on_gpu())?;
    let intake = load(&args)?;
    let (targets, refused) = (&intake.targets, intake.refused);
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
    let features = network.features.clone();
    let settings = settle(&wanted(&args, None)?, &mut network)?;

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
    let folder = args.output.clone();
    let mut run = Run { folder, settings, templates, overwrite: args.overwrite, stop: &stop };
    // What all targets share; a job file may ask for something else for its own.
    let (settings, templates) = (run.settings.clone(), run.templates.clone());
    let (mut summaries, mut errors, mut stopped) = (Vec::new(), Vec::new(), false);
    let mut begun = 0;
    for target in targets {
        begun += 1;
        let fate = if stop.load(Ordering::Relaxed) {
            Ok(Fate::Stopped)
        } else {
            (run.settings, run.templates) = (settings.clone(), templates.clone());
            network.features = features.clone();
            follow(&args, intake.asked(target), &mut network, &mut run)
                .and_then(|()| fold_target(&run, &mut network, target, &mut Console::default()))
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

/// What the command line says, then what a job file says, then the defaults.
///
/// # Errors  bad input: numbers that cannot be.
fn wanted(args: &Args, asked: Option<&Asked>) -> anyhow::Result<Wanted> {
    let none = Asked::default();
    let Asked { seeds, options, .. } = asked.unwrap_or(&none);
    let seed = args.seed.or(seeds.map(|s| s.first)).unwrap_or(0);
    let num_seeds = args.num_seeds.or(seeds.map(|s| u64::from(s.count))).unwrap_or(1);
    let recycle_tolerance = args.recycle_tolerance.or(options.recycle_tolerance).unwrap_or(0.0);
    if !(recycle_tolerance >= 0.0 && recycle_tolerance.is_finite()) {
        let whose =
            if args.recycle_tolerance.is_some() { "--recycle-tolerance" } else { "recycle_tolerance" };
        return Err(bad_input(format!("{whose}: expected 0 Å or more, found {recycle_tolerance}")));
    }
    if seed.checked_add(num_seeds - 1).is_none() {
        let most = u64::MAX;
        return Err(bad_input(format!("--seed {seed} with {num_seeds} seeds: expected none beyond {most}")));
    }
    let recycles = args.recycles.or(options.recycles.map(u64::from));
    if let Some(recycles) = recycles.filter(|&n| n > 1000) {
        return Err(bad_input(format!("recycles: expected at most 1000, found {recycles}")));
    }
    let rows = |(clusters, extra): (u32, u32)| (clusters as usize, extra as usize);
    let max_msa = args.max_msa.map(MaxMsa::rows).or(options.max_msa.map(rows));
    Ok(Wanted { recycles, recycle_tolerance, seed, num_seeds, max_msa, dtype: args.dtype })
}

/// Brings settings, features and templates in line with what a job file asks for one target.
///
/// # Errors  bad input: numbers, a model or a template that cannot be.
fn follow(
    args: &Args,
    asked: Option<&Asked>,
    network: &mut Network,
    run: &mut Run<'_>,
) -> anyhow::Result<()> {
    if let Some(asked) = asked {
        let model =
            asked.options.model.as_deref().filter(|m| !m.is_empty() && *m != "auto" && *m != network.model);
        if let Some(model) = model.filter(|_| args.model == "auto" && args.params.is_none()) {
            let ours = &network.model;
            return Err(bad_input(format!(
                "the job asks for the model {model}, this run has {ours}; --model {model} or --model {ours} decides"
            )));
        }
        let own: Vec<Template> =
            asked.templates.iter().map(Template::try_from).collect::<anyhow::Result<_>>()?;
        run.templates.splice(0..0, own);
    }
    run.settings = settle(&wanted(args, asked)?, network)?;
    Ok(())
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

/// The targets, in line with --msa and --msa-mode.
fn load(args: &Args) -> anyhow::Result<Intake> {
    let limits = Limits::default();
    let mut intake = intake::load(&args.input, &limits)?;
    let (targets, refused) = (&mut intake.targets, intake.refused);
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
        for target in targets {
            if let Some(msa) = target.msa.take() {
                let rows = msa.rows();
                eprintln!("NOTE  {}: --msa-mode single: the input's {rows} rows are not used", target.name);
            }
        }
    }
    Ok(intake)
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
