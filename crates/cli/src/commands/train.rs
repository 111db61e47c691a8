//! `foldry train RECIPE.toml`: train the folding network, in slices if wanted.

use crate::device::Choice;
use crate::failure::{self, Interrupted, bad_input};
use crate::train_run;
use anyhow::{Context, Result};
use dataset::Dataset;
use folding::recipe::Recipe;
use folding::source::TrainingChains;
use folding::task::FoldingTask;
use nn::cuda::Precision;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use train::{Collective, Matrices, Summary, Weighted, Weights};

/// Train the folding network on a dataset as a recipe says.
#[derive(clap::Args)]
pub struct Args {
    /// The recipe, TOML (docs/training.md).
    #[arg(value_name = "RECIPE.toml")]
    recipe: PathBuf,
    /// Go on from the newest checkpoint in the recipe's output.
    #[arg(long)]
    resume: bool,
    /// Stop with a checkpoint after so many seconds; `--resume` goes on from there.
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<u64>,
    /// Where to compute: cpu, cuda (of the machine's GPUs the one that `LOCAL_RANK` names, else the first) or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: Choice,
}

/// Trains until all steps are done, the time is over or Ctrl-C; on all ranks that `mpirun` started, if it did.
pub fn run(args: Args) -> Result<()> {
    nn::cpu::keep_freed_memory(); // every step takes the same memory again
    let ranks = train::join().map_err(train_run::explain)?;
    match on_rank(&args, &*ranks) {
        // That rank says why.
        Err(error) if matches!(error.downcast_ref(), Some(train::Error::Elsewhere { .. })) => Ok(()),
        // The others may be waiting for this one.
        Err(error) if ranks.world() > 1 && !error.is::<Interrupted>() => {
            eprintln!("ERROR  rank {}: {}", ranks.rank(), failure::text(&error));
            ranks.abort(failure::code(&error))
        }
        outcome => outcome,
    }
}

/// A recipe with everything it names.
struct Ready {
    recipe: Recipe,
    text: String,
    source: TrainingChains,
    order: Weighted,
    weights: Weights,
    task: FoldingTask,
}

fn ready(args: &Args) -> Result<Ready> {
    let name = args.recipe.display();
    let text = std::fs::read_to_string(&args.recipe)
        .with_context(|| name.to_string())
        .map_err(|e| bad_input(format!("{e:#}")))?;
    let mut recipe = Recipe::parse(&text).map_err(|e| bad_input(format!("{name}: {e}")))?;
    let beside = |path: &Path| args.recipe.parent().unwrap_or(Path::new("")).join(path);
    recipe.dataset = beside(&recipe.dataset);
    recipe.output = beside(&recipe.output);
    recipe.init = recipe.init.as_deref().map(beside);
    if args.max_seconds.is_some() {
        recipe.train.max_seconds = args.max_seconds;
    }

    let named = train_run::network(&recipe.model, &beside(Path::new(&recipe.model)))?;
    let network = named.network();
    let dataset = Arc::new(Dataset::open(&recipe.dataset).map_err(bad_input)?);
    let source =
        TrainingChains::new(dataset.clone(), &recipe.chains, network.features.clone(), recipe.sample.clone());
    if source.chains().is_empty() {
        let file = recipe.dataset.display();
        return Err(bad_input(format!(
            "{file}: expected chains of the training split, found none that the recipe admits"
        )));
    }
    let order = train_run::order(&dataset, source.chains(), recipe.train.seed)?;
    let precision = if recipe.train.matrices == Matrices::Bf16 { Precision::Bf16 } else { Precision::F32 };
    let local_rank = std::env::var("LOCAL_RANK").ok();
    let device = train_run::own_gpu(args.device, local_rank.as_deref()).open(precision)?;
    let (parameters, origin) = train_run::initial(&network.config, &recipe, &device.device)?;
    let weights = Weights::new(parameters).map_err(bad_input)?;
    recipe.train.about = serde_json::json!({
        "model": named.json,
        "sample": recipe.sample,
        "dropout": recipe.passes.dropout,
        "chains": recipe.chains,
        "violations": recipe.violations,
        "validation": recipe.validation,
        "dataset": dataset.set_id(),
        "init": origin,
    });
    let task = FoldingTask::new(network, recipe.passes, recipe.violations, &recipe.validation, &dataset)?;
    Ok(Ready { recipe, text, source, order, weights, task })
}

fn on_rank(args: &Args, ranks: &dyn Collective) -> Result<()> {
    let Ready { recipe, text, source, order, weights, task } = train::agree(ranks, ready(args))?;
    let leads = ranks.rank() == 0;
    if leads {
        eprintln!(
            "INFO train.start parameters={} chains={} steps={} batch={} ranks={}",
            weights.elements(),
            source.chains().len(),
            recipe.train.steps,
            recipe.train.batch,
            ranks.world()
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // asked twice: the last checkpoint is what there is
        }
        eprintln!("INFO train.stop stopping after this step, with a checkpoint; once more to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    let mut trackers = Vec::new();
    let opened = if leads { train_run::trackers(&recipe).map(|t| trackers = t) } else { Ok(()) };
    train::agree(ranks, opened)?;
    let summary = train::run(
        &recipe.train,
        &weights,
        &order,
        &source,
        &task,
        &mut trackers,
        ranks,
        &recipe.output,
        args.resume,
        &stop,
    )
    .map_err(train_run::explain)?;
    let mut ended = if leads { finish(&recipe, &text, &summary) } else { Ok(()) };
    if ended.is_ok() && stop.load(Ordering::Relaxed) {
        ended = Err(anyhow::Error::new(Interrupted));
    }
    // Not before rank 0 is done: `mpirun` ends all others when one ends with an exit code.
    train::agree(ranks, ended)
}

/// Writes the best parameters and says how the run ended.
fn finish(recipe: &Recipe, text: &str, summary: &Summary) -> Result<()> {
    train_run::export(&recipe.output, &recipe.train, text)?;
    eprintln!(
        "INFO train.done step={} samples={} skipped={} loss={} best={} folder={}",
        summary.step,
        summary.samples_seen,
        summary.skipped,
        summary.loss.map_or("-".into(), |l| format!("{l:.4}")),
        summary.best.as_ref().map_or("-".into(), |b| format!("{:.4}", b.score)),
        recipe.output.display()
    );
    Ok(())
}
