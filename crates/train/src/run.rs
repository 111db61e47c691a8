//! The loop: steps, metrics, validations, checkpoints, and how it stops and goes on.

use crate::checkpoint::{self, Best, FORMAT, Parameter, State, group};
use crate::collective::Collective;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::order::Order;
use crate::philox::RngKey;
use crate::prefetch::{Plan, Prefetch};
use crate::step::{Model, StepOut, Sums};
use crate::task::{DataSource, StepCtx, Task};
use crate::track::Tracker;
use crate::weights::{Weights, plain};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// candle walks the tape, and frees it, by recursion: this is enough for networks of full depth. Only what is used of it
/// is ever taken.
pub(crate) const STACK: usize = 1 << 30;

/// How a call of [`run`] ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Finished steps of the whole run.
    pub step: u64,
    /// Samples used in the whole run.
    pub samples_seen: u64,
    /// Samples skipped in the whole run.
    pub skipped: u64,
    /// Mean loss since the last line of metrics, if there was a step.
    pub loss: Option<f64>,
    /// The best validation.
    pub best: Option<Best>,
    /// Whether all steps are done; if not, the run was stopped and can be resumed.
    pub finished: bool,
}

/// Trains `weights` on `source` in `order` by `task` until `config.steps` are done, `config.max_seconds` are over or `stop` is
/// set; the latter two end with a checkpoint after the step at hand. Files go to `folder` (`checkpoints/`, `best/`); metrics go
/// to `trackers` on rank 0. With `resume` the run goes on from its newest checkpoint, bit by bit as if it had never
/// stopped. All ranks see the same `folder`.
///
/// # Errors  If a setting is out of range, a checkpoint is damaged or belongs to another run, there is none to resume or one is
/// in the way, a save or a tracker fails, a validation fails, or nearly all samples have to be skipped.
pub fn run<S: DataSource, T: Task<Batch = S::Batch>>(
    config: &TrainConfig,
    weights: &Weights,
    order: &dyn Order,
    source: &S,
    task: &T,
    trackers: &mut [Box<dyn Tracker>],
    collective: &dyn Collective,
    folder: &Path,
    resume: bool,
    stop: &AtomicBool,
) -> Result<Summary> {
    config.validate()?;
    let (rank, world) = (collective.rank() as u64, collective.world() as u64);
    if !config.batch.is_multiple_of(world) {
        return Err(Error::config("batch", format!("a multiple of {world} ranks"), config.batch));
    }
    if source.is_empty() {
        return Err(Error::config("source", "at least one sample", "none"));
    }
    let plan = Plan { source, order, seed: config.seed, batch: config.batch, rank, world };
    std::thread::scope(|scope| {
        let train = || {
            let folder = folder.to_owned();
            let model = Model::new(config, weights, collective)?;
            let counters = Counters::default();
            let mut run = Run { model, order, folder, counters, trackers, began: Instant::now() };
            run.begin(resume)?;
            run.steps(plan, task, stop)
        };
        let thread = std::thread::Builder::new().name("train".into()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, train).map_err(Error::io(Path::new("training thread")))?;
        thread.join().map_err(|_| Error::Panicked("training"))?
    })
}

#[derive(Default)]
struct Counters {
    step: u64,
    samples_seen: u64,
    skipped: u64,
    best: Option<Best>,
}

struct Run<'a> {
    model: Model<'a>,
    order: &'a dyn Order,
    folder: PathBuf,
    counters: Counters,
    trackers: &'a mut [Box<dyn Tracker>],
    began: Instant,
}

/// Sends the workers home however the loop ends.
struct CloseOnDrop<'a, 'b, S: DataSource>(&'a Prefetch<'b, S>);

impl<S: DataSource> Drop for CloseOnDrop<'_, '_, S> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Run<'_> {
    fn config(&self) -> &TrainConfig {
        self.model.config
    }

    fn leads(&self) -> bool {
        self.model.collective.rank() == 0
    }

    fn track(&mut self, mut call: impl FnMut(&mut dyn Tracker) -> Result<()>) -> Result<()> {
        if self.leads() { self.trackers.iter_mut().try_for_each(|t| call(&mut **t)) } else { Ok(()) }
    }

    fn begin(&mut self, resume: bool) -> Result<()> {
        let folder = self.folder.join("checkpoints");
        match (checkpoint::latest(&folder)?, resume) {
            (Some(path), true) => self.load(&path)?,
            (None, true) => return Err(Error::config(folder.display(), "a checkpoint to resume", "none")),
            (Some(path), false) => {
                let expected = "no checkpoints where a new run begins (or resume it)";
                return Err(Error::config(folder.display(), expected, path.display()));
            }
            (None, false) => std::fs::create_dir_all(&folder).map_err(Error::io(&folder))?,
        }
        let (step, steps) = (self.counters.step, self.config().steps);
        self.track(|t| t.begin(step, steps))
    }

    fn load(&mut self, path: &Path) -> Result<()> {
        let mut read = checkpoint::load_with_hint(path)?;
        let state = read.state.clone();
        self.compare(path, &state)?;
        let (masters, m) = (read.take(group::PARAMS)?, read.take(group::MEAN)?);
        let (v, ema) = (read.take(group::SQUARE)?, read.take(group::EMA)?);
        self.model.set(masters, &m, &v, &ema, state.updates)?;
        let State { step, samples_seen, skipped, mut best, .. } = state;
        // A better one may have been kept after this checkpoint.
        if let Some(path) = checkpoint::latest(&self.folder.join("best"))? {
            best = checkpoint::load_with_hint(&path)?.state.best;
        }
        self.counters = Counters { step, samples_seen, skipped, best };
        Ok(())
    }

    /// The checkpoint's settings, order and parameters are this run's.
    fn compare(&self, path: &Path, state: &State) -> Result<()> {
        let other = |what: String, expected: String, found: String| {
            Err(Error::Other { path: path.to_owned(), what, expected, found })
        };
        let parameters = self.parameters();
        let mut pairs = state.parameters.iter().zip(&parameters);
        if let Some((theirs, ours)) = pairs.find(|(a, b)| a != b) {
            let text = |p: &Parameter| format!("{} {:?}", p.name, p.shape);
            return other("parameters".into(), text(theirs), text(ours));
        }
        if state.parameters.len() != parameters.len() {
            let count = |list: &[Parameter]| format!("{} of them", list.len());
            return other("parameters".into(), count(&state.parameters), count(&parameters));
        }
        if self.config().accept_changes {
            return Ok(());
        }
        let fixed = self.config().fixed();
        for name in state.config.keys().chain(fixed.keys()) {
            let text = |map: &BTreeMap<String, serde_json::Value>| {
                map.get(name).map_or("nothing".into(), |v| v.to_string())
            };
            if state.config.get(name) != fixed.get(name) {
                return other(format!("setting {name}"), text(&state.config), text(&fixed));
            }
        }
        if state.order_hash != self.order.hash() {
            let hex = |hash: u64| format!("{hash:016x}");
            return other("order of samples".into(), hex(state.order_hash), hex(self.order.hash()));
        }
        Ok(())
    }

    fn steps<S: DataSource, T: Task<Batch = S::Batch>>(
        &mut self,
        plan: Plan<'_, S>,
        task: &T,
        stop: &AtomicBool,
    ) -> Result<Summary> {
        let TrainConfig { steps, workers, prefetch, .. } = *self.config();
        let (start, end) = (self.counters.step * plan.share(), steps * plan.share());
        let samples = Prefetch::new(plan, start, end, workers, prefetch);
        let outcome = std::thread::scope(|scope| {
            // Dropped before the scope waits for the workers.
            let _close = CloseOnDrop(&samples);
            for _ in 0..workers {
                let worker = std::thread::Builder::new().name("prepare".into());
                worker
                    .spawn_scoped(scope, || samples.work())
                    .map_err(Error::io(Path::new("worker thread")))?;
            }
            self.turns(&samples, task, stop)
        });
        // Trackers complete their records after a failure, too; its error comes first.
        let ended = self.track(|t| t.end());
        let summary = outcome?;
        ended?;
        Ok(summary)
    }

    fn turns<S: DataSource, T: Task<Batch = S::Batch>>(
        &mut self,
        samples: &Prefetch<'_, S>,
        task: &T,
        stop: &AtomicBool,
    ) -> Result<Summary> {
        let TrainConfig { steps, log_every, validate_every, checkpoint_every, max_seconds, .. } =
            *self.config();
        let due = |every: u64, step: u64| every > 0 && (step.is_multiple_of(every) || step == steps);
        let (mut lines, mut watch, mut loss) = (Lines::default(), Watch::default(), None);
        let mut stopped = false;
        while self.counters.step < steps && !stopped {
            let began = self.began;
            let out = self.model.step(self.counters.step, samples, task, || {
                stop.load(Ordering::Relaxed)
                    || max_seconds.is_some_and(|most| began.elapsed().as_secs() >= most)
            })?;
            stopped = out.stop;
            let rate = self.config().rate(self.counters.step);
            self.counters.step += 1;
            self.counters.samples_seen += out.used;
            self.counters.skipped += out.skipped;
            let step = self.counters.step;
            for reason in &out.reasons {
                self.track(|t| t.note(step, reason))?;
            }
            watch.look(step, &out)?;
            lines.add(&out);
            if due(log_every, step) || stopped {
                loss = lines.mean_loss();
                let values = lines.take(rate, self.counters.skipped);
                self.track(|t| t.scalars(step, "train", &values))?;
            }
            if due(validate_every, step) {
                self.validate(task)?;
            }
            if due(checkpoint_every, step) || step == steps || stopped {
                self.save()?;
            }
        }
        let Counters { step, samples_seen, skipped, best } = self.counters;
        watch.whole_run(step, samples_seen, skipped)?;
        Ok(Summary { step, samples_seen, skipped, loss, best, finished: step >= steps })
    }

    fn validate<T: Task>(&mut self, task: &T) -> Result<()> {
        let ema = self.model.gather(&self.model.adam.ema)?;
        let step = self.counters.step;
        if self.leads() {
            let weights = Arc::new(plain(self.model.weights, &ema)?);
            let key = RngKey::new(self.config().seed, step, 0).of_step();
            let ctx = StepCtx { step, steps: self.config().steps, micro: 0, key, weights: weights.clone() };
            let judged = task.validate(&weights, &ctx).map_err(|source| Error::Task {
                step,
                what: "validation",
                source,
            })?;
            let mut values = judged.scalars;
            values.insert("score".into(), judged.score);
            self.track(|t| t.scalars(step, "validate", &values))?;
            let score = judged.score;
            if !score.is_nan() && self.counters.best.is_none_or(|best| score > best.score) {
                self.counters.best = Some(Best { step, score });
                let folder = self.folder.join("best");
                checkpoint::save(&folder, self.state(), &[(group::EMA, &ema)])?;
                checkpoint::prune(&folder, 1)?;
            }
        }
        self.model.collective.barrier()
    }

    fn save(&mut self) -> Result<()> {
        let adam = &self.model.adam;
        let (m, v) = (self.model.gather(&adam.m)?, self.model.gather(&adam.v)?);
        let ema = self.model.gather(&adam.ema)?;
        if self.leads() {
            let groups: [(&str, &[f32]); 4] = [
                (group::PARAMS, &self.model.masters),
                (group::MEAN, &m),
                (group::SQUARE, &v),
                (group::EMA, &ema),
            ];
            let folder = self.folder.join("checkpoints");
            let path = checkpoint::save(&folder, self.state(), &groups)?;
            checkpoint::prune(&folder, self.config().keep)?;
            let (step, text) = (self.counters.step, format!("saved {}", path.display()));
            self.track(|t| t.note(step, &text))?;
        }
        self.model.collective.barrier()
    }

    fn parameters(&self) -> Vec<Parameter> {
        let slots = self.model.layout.slots().iter();
        slots.map(|s| Parameter { name: s.name.clone(), shape: s.shape.clone() }).collect()
    }

    fn state(&self) -> State {
        let Counters { step, samples_seen, skipped, best } = self.counters;
        let (config, updates) = (self.config(), self.model.adam.updates);
        State {
            format: FORMAT,
            step,
            position: step * config.batch,
            samples_seen,
            skipped,
            updates,
            ema_n: updates,
            best,
            order_hash: self.order.hash(),
            config_hash: config.hash(),
            config: config.fixed(),
            parameters: self.parameters(),
            files: Vec::new(),
        }
    }
}

/// What has come together since the last line of metrics.
struct Lines {
    since: Instant,
    weight: f64,
    loss: f64,
    norm: f64,
    updates: u64,
    samples: u64,
    scalars: Sums,
}

impl Default for Lines {
    fn default() -> Self {
        let scalars = Sums::new();
        Self { since: Instant::now(), weight: 0.0, loss: 0.0, norm: 0.0, updates: 0, samples: 0, scalars }
    }
}

impl Lines {
    fn add(&mut self, out: &StepOut) {
        self.weight += out.weight;
        self.loss += out.loss;
        self.samples += out.used + out.skipped;
        if out.updated {
            self.norm += out.norm;
            self.updates += 1;
        }
        for (name, (weight, value)) in &out.scalars {
            let sum = self.scalars.entry(name.clone()).or_default();
            *sum = (sum.0 + weight, sum.1 + value);
        }
    }

    fn mean_loss(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.loss / self.weight)
    }

    /// The line, and a new beginning.
    fn take(&mut self, rate: f64, skipped: u64) -> BTreeMap<String, f64> {
        let means = self.scalars.iter().map(|(name, (weight, value))| (name.clone(), value / weight));
        let mut values: BTreeMap<String, f64> = means.collect();
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        if let Some(loss) = self.mean_loss() {
            values.insert("loss".into(), loss);
        }
        if self.updates > 0 {
            values.insert("grad_norm".into(), self.norm / self.updates as f64);
        }
        values.insert("lr".into(), rate);
        values.insert("samples_per_second".into(), self.samples as f64 / seconds);
        values.insert("skipped".into(), skipped as f64);
        *self = Self::default();
        values
    }
}

/// Notices when nearly everything is skipped.
#[derive(Default)]
struct Watch {
    recent: VecDeque<(u64, u64)>,
    used: u64,
    skipped: u64,
    latest: String,
}

impl Watch {
    /// Samples looked back on.
    const WINDOW: u64 = 100;
    /// Samples before a judgement.
    const LEAST: u64 = 20;

    fn look(&mut self, step: u64, out: &StepOut) -> Result<()> {
        self.recent.push_back((out.used, out.skipped));
        self.used += out.used;
        self.skipped += out.skipped;
        if let Some(reason) = out.reasons.last() {
            self.latest.clone_from(reason);
        }
        while let Some(&(used, skipped)) = self.recent.front() {
            if self.used + self.skipped - used - skipped < Self::WINDOW {
                break;
            }
            (self.used, self.skipped) = (self.used - used, self.skipped - skipped);
            self.recent.pop_front();
        }
        let seen = self.used + self.skipped;
        if seen >= Self::LEAST && self.skipped * 10 > seen * 9 {
            let (skipped, latest) = (self.skipped, self.latest.clone());
            return Err(Error::Skipping { step, skipped, seen, latest });
        }
        Ok(())
    }

    /// A run too short for the window, all of it skipped.
    fn whole_run(self, step: u64, seen: u64, skipped: u64) -> Result<()> {
        if seen == 0 && skipped > 0 {
            return Err(Error::Skipping { step, skipped, seen: skipped, latest: self.latest });
        }
        Ok(())
    }
}
