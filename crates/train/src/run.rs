//! The loop: steps, metrics, validations, checkpoints, and how it stops and goes on.

use crate::checkpoint::{self, Best, FORMAT, Parameter, State, group};
use crate::collective::{Collective, agree, same};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::layout::BUCKET;
use crate::order::{Order, digest};
use crate::philox::RngKey;
use crate::prefetch::{Plan, Prefetch};
use crate::step::Model;
use crate::tally::{Lines, Watch};
use crate::task::{DataSource, StepCtx, Task};
use crate::track::Tracker;
use crate::weights::{Weights, plain};
use std::collections::BTreeMap;
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
/// stopped; on any number of ranks that divides the batch. All ranks see the same `folder`.
///
/// # Errors  If a setting is out of range or not the same on all ranks, a checkpoint is damaged or belongs to another run, there is
/// none to resume or one is in the way, a save or a tracker fails, a validation fails, or nearly all samples have to be skipped.
/// [`Error::Elsewhere`] if another rank failed and reports it. With several ranks any other error must end them all
/// ([`Collective::abort`]): they may be waiting for this one.
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
    let (rank, world) = (collective.rank() as u64, collective.world() as u64);
    let possible = if !config.batch.is_multiple_of(world) {
        Err(Error::config("batch", format!("a multiple of {world}, the number of ranks"), config.batch))
    } else if source.is_empty() {
        Err(Error::config("source", "at least one sample", "none"))
    } else {
        config.validate()
    };
    agree(collective, possible)?;
    same_run(config, weights, order, collective)?;
    let plan = Plan { source, order, seed: config.seed, batch: config.batch, rank, world };
    std::thread::scope(|scope| {
        let train = || {
            let folder = folder.to_owned();
            let model = Model::new(config, weights, collective, BUCKET)?;
            let counters = Counters::default();
            let mut run = Run { model, order, folder, counters, trackers, began: Instant::now() };
            let begun = run.begin(resume);
            agree(collective, begun)?;
            same(collective, "the checkpoint to go on from", run.counters.step)?;
            let (step, steps) = (run.counters.step, config.steps);
            run.track(|t| t.begin(step, steps))?;
            run.steps(plan, task, stop)
        };
        let thread = std::thread::Builder::new().name("train".into()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, train).map_err(Error::io(Path::new("training thread")))?;
        thread.join().map_err(|_| Error::Panicked("training"))?
    })
}

/// Whether all ranks are about to do the same: if not, they would wait for each other or spoil each other's numbers.
fn same_run(
    config: &TrainConfig,
    weights: &Weights,
    order: &dyn Order,
    collective: &dyn Collective,
) -> Result<()> {
    let TrainConfig { steps, log_every, validate_every, checkpoint_every, .. } = *config;
    let turns = [steps, log_every, validate_every, checkpoint_every, weights.elements() as u64];
    same(collective, "the recipe", digest(&config.hash(), &turns))?;
    same(collective, "the order of samples", order.hash())
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
        Ok(())
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
            if let Err(error) = watch.look(step, &out) {
                return agree(self.model.collective, Err(error));
            }
            lines.add(&out);
            if due(log_every, step) || stopped {
                lines.share(self.model.collective)?;
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
        agree(self.model.collective, watch.whole_run(step, samples_seen, skipped))?;
        Ok(Summary { step, samples_seen, skipped, loss, best, finished: step >= steps })
    }

    fn validate<T: Task>(&mut self, task: &T) -> Result<()> {
        let ema = self.model.gather(&self.model.adam.ema)?;
        let judged = if self.leads() { self.judge(task, &ema) } else { Ok(()) };
        agree(self.model.collective, judged)
    }

    /// Judges the averaged parameters, and keeps them if they are the best so far.
    fn judge<T: Task>(&mut self, task: &T, ema: &[f32]) -> Result<()> {
        let step = self.counters.step;
        let weights = Arc::new(plain(self.model.weights, ema)?);
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
            checkpoint::save(&folder, self.state(), &[(group::EMA, ema)])?;
            checkpoint::prune(&folder, 1)?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let adam = &self.model.adam;
        let (m, v) = (self.model.gather(&adam.m)?, self.model.gather(&adam.v)?);
        let ema = self.model.gather(&adam.ema)?;
        let saved = if self.leads() { self.write(&m, &v, &ema) } else { Ok(()) };
        agree(self.model.collective, saved)
    }

    fn write(&mut self, m: &[f32], v: &[f32], ema: &[f32]) -> Result<()> {
        let params = &self.model.masters[..];
        let groups = [(group::PARAMS, params), (group::MEAN, m), (group::SQUARE, v), (group::EMA, ema)];
        let folder = self.folder.join("checkpoints");
        let path = checkpoint::save(&folder, self.state(), &groups)?;
        checkpoint::prune(&folder, self.config().keep)?;
        let (step, text) = (self.counters.step, format!("saved {}", path.display()));
        self.track(|t| t.note(step, &text))
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
