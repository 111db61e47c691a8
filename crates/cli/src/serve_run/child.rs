//! The folding child of a server: orders in, files out, the model kept from one to the next.

use crate::device;
use crate::disk;
use crate::embedded;
use crate::failure::{BadInput, bad_input, text};
use crate::fold_run::{Fate, Listener, Network, Run, Source, Template, Wanted, choose, fold_target, settle};
use crate::precision::Precision;
use anyhow::Context;
use features::FeatureConfig;
use msa::Target;
use serde_json::Value;
use std::path::{Path, PathBuf};
use work::pipe::{Failure, Folder, Made, Task, Told};
use work::{Engine, Model, Progress, Ranked};

/// What a server folds with.
#[derive(Clone, Debug, clap::Args)]
pub struct Offer {
    /// Models that jobs may name, the first for those that name none.
    #[arg(
        long = "model",
        value_name = "NAME",
        default_value = "auto",
        env = "FOLDRY_MODEL",
        value_delimiter = ','
    )]
    pub models: Vec<String>,
    /// Parameter file (.npz, .pt, .safetensors) instead of an installed one; of the one model then.
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// AlphaFold's configuration as JSON (its sections data and model), for networks of other sizes.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to compute: auto (a GPU if this build can use one that is there), cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: device::Choice,
    /// Numbers of the matrix products, see `foldry fold --help`.
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: Precision,
    /// Priority of the process, 0 to 19, the lowest.
    #[arg(long, value_name = "N", default_value_t = 19, value_parser = clap::value_parser!(i32).range(0..=19))]
    pub nice: i32,
}

impl Offer {
    fn open(&self, name: &str) -> anyhow::Result<(Network, Source)> {
        let chosen = choose(name, self.params.as_deref())?;
        let device = self.device.open(self.dtype.on_gpu())?;
        Ok((Network::open(&chosen, self.config.as_deref(), self.dtype, device)?, chosen.source))
    }
}

/// Folds what comes on standard input until it ends.
///
/// # Errors  bad input if a model cannot be had.
pub fn fold_for_a_server(offer: Offer) -> anyhow::Result<()> {
    // The server answers first, and of all processes this one is to end when memory does.
    // Neither is possible everywhere, and work goes on without.
    let _ = rustix::process::nice(offer.nice);
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // Its threads are there before anything takes memory: one that cannot be had later ends it in a way that says little.
    rayon::ThreadPoolBuilder::new().build_global().context("threads that compute")?;
    rayon::broadcast(|_| ());
    let mut desk = Desk::new(offer)?;
    work::pipe::serve(&mut desk)?;
    Ok(())
}

/// Folds orders one after another.
struct Desk {
    offer: Offer,
    engine: Engine,
    open: Option<Open>,
}

/// The model of the last order, with its features as they were: an order's settings change them.
struct Open {
    name: String,
    network: Network,
    features: FeatureConfig,
}

impl Desk {
    fn new(offer: Offer) -> anyhow::Result<Self> {
        if offer.models.len() > 1 && offer.params.is_some() {
            let count = offer.models.len();
            return Err(bad_input(format!("--params is of one model, found {count} with --model")));
        }
        let (mut models, mut first, mut device) = (Vec::<Model>::new(), None, String::new());
        for name in &offer.models {
            let (network, source) = offer.open(name)?;
            let about = match source {
                Source::Embedded => embedded::accuracy()?,
                Source::File(_) => "parameters installed by the operator".into(),
            };
            device = network.device_name().into();
            let (name, weights_sha256) = (network.model.clone(), network.weights_sha256.clone());
            if models.iter().any(|model| model.name == name) {
                return Err(bad_input(format!("--model: {name} is named twice")));
            }
            models.push(Model { name: name.clone(), weights_sha256, about });
            first.get_or_insert_with(|| Open { name, features: network.features.clone(), network });
        }
        let device_class = if device == "cpu" { "cpu" } else { "cuda" }.into();
        let version = concat!("foldry ", env!("CARGO_PKG_VERSION")).into();
        Ok(Self { offer, engine: Engine { version, device_class, device, models }, open: first })
    }

    /// The order's model with its features as the model has them.
    fn open(&mut self, task: &Task) -> anyhow::Result<&mut Network> {
        let wanted = &task.order.options.model;
        let open = match self.open.take().filter(|open| open.name == *wanted) {
            Some(open) => open,
            None => {
                // A file of parameters is the one model's, whatever its name.
                let (network, _) =
                    self.offer.open(if self.offer.params.is_some() { "auto" } else { wanted })?;
                Open { name: wanted.clone(), features: network.features.clone(), network }
            }
        };
        let open = self.open.insert(open);
        open.network.features = open.features.clone();
        Ok(&mut open.network)
    }

    fn try_fold(&mut self, task: &Task, told: &mut Told<'_>) -> anyhow::Result<Option<Made>> {
        let (order, dtype) = (&task.order, self.offer.dtype);
        let target = target(task)?;
        let templates = templates(task)?;
        let network = self.open(task)?;
        let options = &order.options;
        let wanted = Wanted {
            recycles: options.recycles.map(u64::from),
            recycle_tolerance: options.recycle_tolerance,
            seed: options.seed,
            num_seeds: options.num_seeds.into(),
            max_msa: options.max_msa.map(|(clusters, extra)| (clusters as usize, extra as usize)),
            dtype,
        };
        let settings = settle(&wanted, network)?;
        let folder = task.output.join(".fold");
        std::fs::create_dir_all(&folder)?;
        let run = Run { folder: folder.clone(), settings, templates, overwrite: true, stop: told.stop };
        let fate = fold_target(&run, network, &target, &mut Teller::new(told))?;
        let (Fate::Done(summary) | Fate::Skipped(summary)) = fate else { return Ok(None) };
        let made = Made {
            model: network.model.clone(),
            weights_sha256: network.weights_sha256.clone(),
            device: network.device_name().into(),
            ranking: ranking(&summary)?,
        };
        for entry in std::fs::read_dir(folder.join(&target.name))? {
            let entry = entry?;
            std::fs::rename(entry.path(), task.output.join(entry.file_name()))?;
        }
        std::fs::remove_dir_all(&folder)?;
        Ok(Some(made))
    }
}

impl Folder for Desk {
    fn engine(&self) -> Engine {
        self.engine.clone()
    }

    fn fold(&mut self, task: &Task, told: &mut Told<'_>) -> Result<Option<Made>, Failure> {
        let wanted = &task.order.weights_sha256;
        let fail = |code: &str, message: String, again| Failure { code: code.into(), message, again };
        let name = &task.order.options.model;
        let known = self.engine.models.iter().find(|model| model.name == *name);
        if known.is_none_or(|model| model.weights_sha256 != *wanted) {
            // Another worker may have them.
            let found = known.map_or("no such model", |model| &model.weights_sha256);
            let message = format!("expected parameters {wanted} of {name}, found {found}");
            return Err(fail("wrong_weights", message, true));
        }
        self.try_fold(task, told).map_err(|error| {
            if self.open.as_ref().is_some_and(|open| open.network.is_unusable()) {
                self.open = None;
            }
            let (message, bad) = (text(&error), error.chain().any(|cause| cause.is::<BadInput>()));
            match (disk::is_full(&error), bad) {
                (true, _) => fail("disk_full", message, true),
                (false, true) => fail("bad_input", message, false),
                (false, false) => fail("fold_failed", message, true),
            }
        })
    }
}

/// As `foldry fold` has it from a file.
fn target(task: &Task) -> anyhow::Result<Target> {
    let order = &task.order;
    let mut target = Target {
        name: order.name.clone(),
        description: order.name.clone(),
        sequence: order.sequence.clone(),
        source: "job".into(),
        msa: None,
        notes: Vec::new(),
    };
    if let Some(path) = task.alignment() {
        let (msa, notes) = msa::load_alignment(&path, &msa::Limits::default()).map_err(bad_input)?;
        target.attach(msa, "alignment").map_err(bad_input)?;
        target.notes.extend(notes);
    }
    Ok(target)
}

fn templates(task: &Task) -> anyhow::Result<Vec<Template>> {
    let read = |(template, path): (&work::Template, PathBuf)| {
        let bytes = std::fs::read(Path::new(&path))?;
        Template::parse(&template.name, &template.name, &bytes, template.chain.as_deref())
    };
    task.order.templates.iter().zip(task.templates()).map(read).collect()
}

/// What the summary says of the predictions.
fn ranking(summary: &Value) -> anyhow::Result<Vec<Ranked>> {
    let ranking = summary["ranking"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(ranking.iter().map(|ranked| serde_json::from_value(ranked.clone())).collect::<Result<_, _>>()?)
}

/// Tells the server how a target fares.
struct Teller<'a, 'b> {
    told: &'a mut Told<'b>,
    seed: u64,
    pass_began: std::time::Instant,
}

impl<'a, 'b> Teller<'a, 'b> {
    fn new(told: &'a mut Told<'b>) -> Self {
        Self { told, seed: 0, pass_began: std::time::Instant::now() }
    }
}

impl Listener for Teller<'_, '_> {
    fn note(&mut self, _target: &str, text: &str) {
        self.told.say(Progress::Note { text: text.into() });
    }

    fn plan(&mut self, _words: &str, bytes: u64, seconds: Option<f64>) {
        self.told.say(Progress::Plan { bytes, seconds });
    }

    fn coverage(&mut self, rows: usize, neff: f64, bands: &[Vec<u32>]) {
        // Told from the closest on, counted from the farthest on.
        let bands = bands.iter().rev().cloned().collect();
        self.told.say(Progress::Coverage { rows: rows as u32, neff, bands });
    }

    fn begin(&mut self, _job: &str, seed: u64) {
        self.seed = seed;
    }

    fn stage(&mut self, what: &str) {
        self.pass_began = std::time::Instant::now();
        self.told.say(Progress::Stage { stage: what.into() });
    }

    fn step(&mut self, step: &fold::Step) {
        let (seed, passes) = (self.seed, step.passes as u32);
        let pass = (step.pass as u32 + 1).min(passes);
        match &step.finished {
            None => {
                let (block, blocks) = (step.block.min(step.blocks) as u32, step.blocks as u32);
                self.told.say(Progress::Block { seed, pass, passes, block, blocks });
            }
            Some(done) => {
                let seconds = self.pass_began.elapsed().as_secs_f64();
                self.pass_began = std::time::Instant::now();
                let (mean_plddt, ptm) = (f64::from(done.mean_plddt), done.ptm.map(f64::from));
                let change = f64::from(done.change);
                // JSON has no such numbers; a prediction of them fails when its files are written.
                if !(mean_plddt.is_finite() && change.is_finite() && ptm.is_none_or(f64::is_finite)) {
                    return;
                }
                self.told.say(Progress::Pass { seed, pass, passes, mean_plddt, ptm, change, seconds });
            }
        }
    }

    fn end(&mut self) {}

    fn done(&mut self, _words: &str) {}
}
