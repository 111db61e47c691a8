//! One step: samples one after the other or a few at once, their gradients summed in f32 in order, one update.

use crate::adamw::{AdamW, BLOCK};
use crate::collective::{Collective, all_texts};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::gradients;
use crate::layout::Layout;
use crate::philox::RngKey;
use crate::prefetch::{Prefetch, Sample};
use crate::run::STACK;
use crate::task::{DataSource, StepCtx, Task};
use crate::weights::Weights;
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Parameters and optimizer state of this rank.
pub(crate) struct Model<'a> {
    pub config: &'a TrainConfig,
    pub weights: &'a Weights,
    pub collective: &'a dyn Collective,
    pub layout: Layout,
    /// All parameters, in the order of the layout; the same values as in `weights`.
    pub masters: Vec<f32>,
    pub adam: AdamW,
    /// Sums of gradients.
    sums: Vec<f32>,
    own: Vec<Range<usize>>,
    blocks: Vec<(Range<usize>, bool)>,
    /// One thread each, if several samples are computed at once.
    lanes: Vec<ThreadPool>,
}

/// What a step did, over all ranks but for `scalars`.
#[derive(Default)]
pub(crate) struct StepOut {
    /// Σ weight and Σ weight · loss of the samples that were used.
    pub weight: f64,
    pub loss: f64,
    pub used: u64,
    pub skipped: u64,
    /// Norm of the mean gradient before clipping.
    pub norm: f64,
    /// Whether parameters changed.
    pub updated: bool,
    /// Whether some rank was told to stop.
    pub stop: bool,
    /// Why samples were skipped.
    pub reasons: Vec<String>,
    /// Σ weight and Σ weight · value of the task's scalars on this rank.
    pub scalars: Sums,
}

/// Weighted sums by name: (Σ weight, Σ weight · value).
pub(crate) type Sums = BTreeMap<String, (f64, f64)>;

/// A sample that can be used.
struct Used {
    weight: f64,
    loss: f64,
    scalars: BTreeMap<String, f64>,
    grads: GradStore,
    norm: f64,
}

impl<'a> Model<'a> {
    /// Rank 0's parameters everywhere, no moments. `bucket`: elements that are exchanged at a time.
    pub fn new(
        config: &'a TrainConfig,
        weights: &'a Weights,
        collective: &'a dyn Collective,
        bucket: usize,
    ) -> Result<Self> {
        let layout = Layout::new(weights.shapes(), collective.rank(), collective.world(), bucket);
        let mut masters = weights.flat()?;
        for bucket in layout.buckets() {
            collective.broadcast(&mut masters[bucket])?;
        }
        weights.store(&masters)?;
        let (own, blocks) = (layout.own(), layout.own_blocks(BLOCK));
        let adam = AdamW::new(pick(&masters, &own));
        let sums = vec![0.0; layout.total()];
        // A GPU takes one operation after the other anyway.
        let at_once = if weights.device().is_cpu() { config.together } else { 1 };
        let lanes = if at_once > 1 { lanes(at_once)? } else { Vec::new() };
        Ok(Self { config, weights, collective, layout, masters, adam, sums, own, blocks, lanes })
    }

    /// Sets parameters and state from vectors over all parameters.
    pub fn set(&mut self, masters: Vec<f32>, m: &[f32], v: &[f32], ema: &[f32], updates: u64) -> Result<()> {
        self.weights.store(&masters)?;
        self.masters = masters;
        let pick = |all: &[f32]| pick(all, &self.own);
        self.adam = AdamW { m: pick(m), v: pick(v), ema: pick(ema), updates };
        Ok(())
    }

    /// A vector of this rank's elements, over all parameters. Every rank takes part.
    pub fn gather(&self, own: &[f32]) -> Result<Vec<f32>> {
        let (mut all, mut at) = (vec![0.0; self.layout.total()], 0);
        for (bucket, piece) in self.layout.buckets().zip(&self.own) {
            all[piece.clone()].copy_from_slice(&own[at..at + piece.len()]);
            at += piece.len();
            self.exchange(bucket, &mut all, Collective::all_gather)?;
        }
        Ok(all)
    }

    /// A collective operation on one bucket of `all`.
    fn exchange(
        &self,
        bucket: Range<usize>,
        all: &mut [f32],
        call: fn(&'a (dyn Collective + 'a), &mut [f32], &[Range<usize>]) -> Result<()>,
    ) -> Result<()> {
        let start = bucket.start;
        let pieces: Vec<_> =
            self.layout.pieces(&bucket).into_iter().map(|p| p.start - start..p.end - start).collect();
        call(self.collective, &mut all[bucket], &pieces)
    }

    /// Takes the next samples through the task and updates the parameters. `stop` is agreed on by the ranks.
    pub fn step<S: DataSource>(
        &mut self,
        step: u64,
        samples: &Prefetch<'_, S>,
        task: &impl Task<Batch = S::Batch>,
        stop: impl FnOnce() -> bool,
    ) -> Result<StepOut> {
        self.sums.fill(0.0);
        let weights = Arc::new(self.weights.working(self.config.matrices)?);
        let share = self.config.batch / self.collective.world() as u64;
        let mut out = StepOut::default();
        let mut nth = 0;
        while nth < share {
            let mut group = Vec::new();
            for lane in 0..(self.lanes.len() as u64).clamp(1, share - nth) {
                let micro = (self.collective.rank() as u64 * share + nth + lane) as u32;
                let key = RngKey::new(self.config.seed, step, micro);
                let ctx = StepCtx { step, steps: self.config.steps, micro, key, weights: weights.clone() };
                group.push((samples.next(), ctx));
            }
            nth += group.len() as u64;
            for (micro, found) in self.together(group, task)? {
                match found {
                    Ok(used) => {
                        out.used += 1;
                        out.weight += used.weight;
                        out.loss += used.weight * used.loss;
                        let factor = used.weight * gradients::clip(used.norm, self.config.clip_sample_norm);
                        gradients::add(self.weights, &used.grads, factor as f32, &mut self.sums)?;
                        for (name, value) in used.scalars {
                            let sum = out.scalars.entry(name).or_default();
                            *sum = (sum.0 + used.weight, sum.1 + used.weight * value);
                        }
                    }
                    Err(reason) => {
                        out.skipped += 1;
                        out.reasons.push(format!("skipped sample {micro} of step {step}: {reason}"));
                    }
                }
            }
        }
        let mut totals = [out.weight, out.loss, out.used as f64, out.skipped as f64, f64::from(stop())];
        self.collective.all_reduce(&mut totals)?;
        (out.weight, out.loss) = (totals[0], totals[1]);
        (out.used, out.skipped, out.stop) = (totals[2] as u64, totals[3] as u64, totals[4] > 0.0);
        if out.skipped > 0 {
            out.reasons = all_texts(self.collective, &out.reasons)?;
        }
        if out.used > 0 {
            self.update(step, &mut out)?;
        }
        Ok(out)
    }

    /// The samples of `group`, each in a lane of its own, in order.
    fn together<T: Task>(
        &self,
        group: Vec<(Sample<T::Batch>, StepCtx)>,
        task: &T,
    ) -> Result<Vec<(u32, Found)>>
    where
        T::Batch: Send,
    {
        if self.lanes.is_empty() {
            return group.into_iter().map(|(s, ctx)| Ok((ctx.micro, self.sample(s, task, &ctx)?))).collect();
        }
        std::thread::scope(|scope| {
            let lanes = group.into_iter().zip(&self.lanes);
            let running: Vec<_> = lanes
                .map(|((sample, ctx), lane)| {
                    scope.spawn(move || lane.install(|| Ok((ctx.micro, self.sample(sample, task, &ctx)?))))
                })
                .collect();
            running.into_iter().map(|r| r.join().map_err(|_| Error::Panicked("training"))?).collect()
        })
    }

    /// One sample's loss and gradient, or why it cannot be used.
    fn sample<T: Task>(&self, sample: Sample<T::Batch>, task: &T, ctx: &StepCtx) -> Result<Found> {
        let out = match sample.and_then(|batch| task.loss(&batch, ctx)) {
            Ok(out) => out,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let loss = match scalar(&out.loss) {
            Ok(loss) if loss.is_finite() => loss,
            Ok(loss) => return Ok(Err(format!("its loss is {loss}"))),
            Err(error) => return Ok(Err(format!("its loss is no number: {error}"))),
        };
        if !out.weight.is_finite() || out.weight <= 0.0 {
            return Ok(Err(format!("its weight is {}", out.weight)));
        }
        let grads = match gradients::backward(&out.loss, out.backward) {
            Ok(grads) => grads,
            Err(error) => return Ok(Err(format!("it has no gradient: {error}"))),
        };
        let norm = match gradients::norm_squared(self.weights, &grads)? {
            Some(squared) => squared.sqrt(),
            None => return Ok(Err("its loss depends on no parameter".into())),
        };
        if !norm.is_finite() {
            return Ok(Err(format!("the norm of its gradient is {norm}")));
        }
        Ok(Ok(Used { weight: out.weight, loss, scalars: out.scalars, grads, norm }))
    }

    /// Reduces the sums, clips, and updates this rank's part; then everyone gets all parameters.
    fn update(&mut self, step: u64, out: &mut StepOut) -> Result<()> {
        let mut sums = std::mem::take(&mut self.sums);
        for bucket in self.layout.buckets() {
            self.exchange(bucket, &mut sums, Collective::reduce_scatter)?;
        }
        let mut squared = [gradients::sum_of_squares_in(&sums, &self.own)];
        self.collective.all_reduce(&mut squared)?;
        out.norm = squared[0].sqrt() / out.weight;
        if out.norm.is_finite() {
            let scale = gradients::clip(out.norm, self.config.clip_norm) / out.weight;
            let rate = self.config.rate(step);
            self.adam.update(self.config, rate, scale, &mut self.masters, &sums, &self.blocks);
            let mut masters = std::mem::take(&mut self.masters);
            for bucket in self.layout.buckets() {
                self.exchange(bucket, &mut masters, Collective::all_gather)?;
            }
            self.masters = masters;
            self.weights.store(&self.masters)?;
            out.updated = true;
        } else {
            out.reasons.push(format!("no update in step {step}: the sum of finite gradients is not finite"));
        }
        self.sums = sums;
        Ok(())
    }
}

/// What became of a sample.
type Found = std::result::Result<Used, String>;

/// Pools of one thread: what runs in one is serial, so that small operations do not wait for each other's threads.
fn lanes(n: usize) -> Result<Vec<ThreadPool>> {
    let lane = |i| {
        let pool = ThreadPoolBuilder::new().num_threads(1).stack_size(STACK);
        pool.thread_name(move |_| format!("lane {i}")).build()
    };
    let made: std::result::Result<_, _> = (0..n).map(lane).collect();
    made.map_err(|e| Error::Io { path: "training threads".into(), source: std::io::Error::other(e) })
}

/// The one number of a loss.
fn scalar(loss: &Tensor) -> candle_core::Result<f64> {
    loss.to_dtype(DType::F64)?.reshape(())?.to_scalar()
}

/// The elements of `all` in `ranges`, one after the other.
fn pick(all: &[f32], ranges: &[Range<usize>]) -> Vec<f32> {
    ranges.iter().flat_map(|r| &all[r.clone()]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::on_ranks;
    use candle_core::Device;

    /// Parameters, moments and the norm after two updates in buckets of 8 of 31 elements, on each rank.
    fn updated(world: usize) -> Vec<(Vec<f32>, Vec<f32>, f64)> {
        let config = TrainConfig { weight_decay: 0.1, clip_norm: Some(0.5), ..TrainConfig::default() };
        on_ranks(world, |ranks| {
            let values = |n: usize| (0..n).map(|i| (i as f32).sin()).collect::<Vec<_>>();
            let tensor = |shape: &[usize]| {
                Tensor::from_vec(values(shape.iter().product()), shape, &Device::Cpu).unwrap()
            };
            let weights = [("a", tensor(&[7, 3])), ("b", tensor(&[10]))].map(|(n, t)| (n.to_owned(), t));
            let weights = Weights::new(BTreeMap::from(weights)).unwrap();
            let mut model = Model::new(&config, &weights, ranks, 8).unwrap();
            let mut norm = 0.0;
            for step in 0..2 {
                // Quarters, so that sums are exact in any order: 60 of them a sample, shared out to the ranks.
                let share = 60 / world;
                let samples = (ranks.rank() * share..(ranks.rank() + 1) * share).map(|s| s as u64 + step);
                let grad = |i: u64, s: u64| ((i * 37 + s * 11) % 23) as f32 / 4.0 - 2.5;
                model.sums = vec![0.0; 31];
                for s in samples {
                    (0..31).for_each(|i| model.sums[i as usize] += grad(i, s));
                }
                let mut out = StepOut { weight: 60.0, ..StepOut::default() };
                model.update(step, &mut out).unwrap();
                norm = out.norm;
            }
            assert_eq!(weights.flat().unwrap(), model.masters);
            assert_eq!(model.adam.m.len(), model.own.iter().map(ExactSizeIterator::len).sum::<usize>());
            (model.masters.clone(), model.gather(&model.adam.m).unwrap(), norm)
        })
    }

    #[test]
    fn ranks_update_their_pieces_of_every_bucket() {
        let alone = updated(1).remove(0);
        assert!(alone.2 > 0.5 && alone.1.iter().all(|&m| m != 0.0), "{alone:?}");
        // The last bucket has 7 elements: pieces of 4 and 3; of 3, 3 and 1; of 2, 2, 2, 1 and none.
        for world in [2, 3, 5] {
            for (masters, mean, norm) in updated(world) {
                assert!((norm / alone.2 - 1.0).abs() < 1e-12);
                for (ours, theirs) in masters.iter().chain(&mean).zip(alone.0.iter().chain(&alone.1)) {
                    assert!((ours - theirs).abs() < 1e-6 * theirs.abs().max(1e-3), "{ours} {theirs}");
                }
            }
        }
    }
}
