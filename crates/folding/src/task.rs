//! The folding network as something to train: a sample's loss, and the judgement of the averaged parameters.

use crate::judge::{judge_with_loss, network};
use crate::recipe::{Network, Passes, ValidationConfig, Violations};
use crate::source::known;
use crate::truth::losses;
use crate::{Known, Result, Sample};
use candle_core::{DType, Tensor};
use dataset::{Dataset, Entry, Split};
use fold::{Draw, Dropout, Model, Taps};
use losses::{LossConfig, Losses};
use nn::{Leaves, Segments};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use train::{Backward, BoxError, LossOut, RngKey, StepCtx, Task, Validation};

/// The task.
pub struct FoldingTask {
    network: Network,
    passes: Passes,
    violations: Violations,
    recycles: usize,
    validation: Vec<Held>,
}

/// A chain that judges.
struct Held {
    chain: Known,
    no_homolog: bool,
}

impl FoldingTask {
    /// A task whose averaged parameters are judged by the same chains of `dataset`'s validation split each time.
    ///
    /// # Errors  If a chain cannot be read.
    pub fn new(
        network: Network,
        passes: Passes,
        violations: Violations,
        validation: &ValidationConfig,
        dataset: &Dataset,
    ) -> std::result::Result<Self, dataset::Error> {
        let validation_chains = validation_view(dataset.entries(), validation)
            .into_iter()
            .map(|i| {
                let entry = dataset.entry(i);
                Ok(Held { chain: known(entry, dataset.chain(i)?), no_homolog: entry.no_train_homolog })
            })
            .collect::<std::result::Result<_, dataset::Error>>()?;
        Ok(Self { network, passes, violations, recycles: validation.recycles, validation: validation_chains })
    }

    /// Loss weights after `step` steps.
    fn losses_at(&self, step: u64) -> LossConfig {
        let mut config = self.network.losses.clone();
        let on = self.violations.from_step.is_some_and(|from| step >= from);
        config.structure_module.structural_violation_loss_weight =
            if on { self.violations.weight } else { 0.0 };
        config
    }

    /// Losses of the last pass of `sample`, on the tape of `weights`; passes before it are not. Nothing is left out. AF2
    /// Suppl. Alg. 31.
    ///
    /// # Errors  If parameters or features do not fit the network.
    pub fn losses(&self, weights: &BTreeMap<String, Tensor>, sample: &Sample, step: u64) -> Result<Losses> {
        self.run(weights, sample, step, None, None)
    }

    /// The same as training has it: with dropout drawn by `draw`, and in segments if there are some.
    fn run(
        &self,
        weights: &BTreeMap<String, Tensor>,
        sample: &Sample,
        step: u64,
        draw: Option<Draw>,
        segments: Option<&mut Segments>,
    ) -> Result<Losses> {
        let config = &self.network.config;
        let still = network(config, weights)?;
        let mut previous = still.nothing_before(sample.labels.len())?;
        let dropout = |pass| draw.clone().map(|draw| Dropout::new(pass, draw));
        let last = sample.passes.len() - 1;
        let mut go_on = |_| ControlFlow::Continue(());
        for (pass, features) in sample.passes[..last].iter().enumerate() {
            let taps = Taps::training(dropout(pass));
            previous = still.pass(std::slice::from_ref(features), previous, &taps, &mut go_on)?.previous();
        }
        let tracked = Model::load(config, weights.clone(), DType::F32)?;
        let features = &sample.passes[last];
        let outputs = match segments {
            Some(segments) => {
                let (model, features) = (Arc::new(tracked), Arc::new(features.clone()));
                model.pass_in_segments(&features, previous, dropout(last).as_ref(), segments)?
            }
            None => {
                let taps = Taps::training(dropout(last));
                tracked.pass(std::slice::from_ref(features), previous, &taps, &mut go_on)?
            }
        };
        losses(&outputs, sample, &self.losses_at(step))
    }
}

/// Dropout's numbers of a sample: a stream of their own for every place in the network.
fn draw(key: RngKey) -> Draw {
    Arc::new(move |site, values| {
        let mut stream = key.site(site);
        values.iter_mut().for_each(|value| *value = stream.f32());
    })
}

impl Task for FoldingTask {
    type Batch = Sample;

    fn loss(&self, sample: &Sample, ctx: &StepCtx) -> std::result::Result<LossOut, BoxError> {
        let drawn = self.passes.dropout.then(|| draw(ctx.key));
        let mut segments = self.passes.checkpoint_activations.then(Segments::default);
        let leaves = Leaves::default();
        let found = leaves.over(|| self.run(&ctx.weights, sample, ctx.step, drawn, segments.as_mut()))?;
        let mut scalars = BTreeMap::new();
        let number = |t: &Tensor| -> Result<f64> { Ok(f64::from(t.to_scalar::<f32>()?)) };
        for (head, loss) in &found.per_head {
            scalars.insert((*head).to_owned(), number(loss)?);
        }
        if let Some(s) = &found.structure {
            scalars.insert("fape".into(), number(&s.fape)?);
            scalars.insert("sidechain_fape".into(), number(&s.sidechain_fape)?);
            scalars.insert("chi".into(), number(&s.chi)?);
            if let Some(v) = &s.violations {
                scalars.insert("violations".into(), number(&v.loss)?);
            }
        }
        let backward: Backward = Box::new(move |loss| match segments {
            Some(segments) => segments.backward(loss, &leaves),
            None => leaves.backward(loss),
        });
        Ok(LossOut { loss: found.total, scalars, weight: 1.0, backward: Some(backward) })
    }

    fn validate(
        &self,
        ema: &BTreeMap<String, Tensor>,
        _: &StepCtx,
    ) -> std::result::Result<Validation, BoxError> {
        // What a GPU keeps of these parameters is gone with this.
        Leaves::default().over(|| self.judge(ema))
    }
}

impl FoldingTask {
    fn judge(&self, ema: &BTreeMap<String, Tensor>) -> std::result::Result<Validation, BoxError> {
        let model = network(&self.network.config, ema)?;
        // Of the first stage, whichever it is, so that steps can be compared.
        let mut losses = self.network.losses.clone();
        losses.structure_module.structural_violation_loss_weight = 0.0;
        let mut means: BTreeMap<String, (f64, u32)> = BTreeMap::new();
        let mut add = |name: &str, x: f64| {
            let mean = means.entry(name.into()).or_default();
            *mean = (mean.0 + x, mean.1 + 1);
        };
        for held in &self.validation {
            for alone in [false, true] {
                let wanted = (&self.network.features, (!alone).then_some(&losses));
                let (found, loss) = judge_with_loss(&model, &held.chain, wanted, self.recycles, alone)?;
                let with = if alone { "alone" } else { "aligned" };
                add(&format!("lddt_ca.{with}"), found.accuracy.lddt_ca);
                if held.no_homolog {
                    add(&format!("lddt_ca.{with}.no_homolog"), found.accuracy.lddt_ca);
                }
                if !alone {
                    add("loss", loss);
                    add("tm_score", found.accuracy.tm_score);
                    add("drmsd", found.accuracy.drmsd);
                    add("plddt", found.plddt);
                }
            }
        }
        let scalars: BTreeMap<String, f64> =
            means.into_iter().map(|(name, (sum, n))| (name, sum / f64::from(n))).collect();
        // Chains without homologs choose; where there are none, all do.
        let score = scalars.get("lddt_ca.aligned.no_homolog").or(scalars.get("lddt_ca.aligned"));
        Ok(Validation { score: score.copied().unwrap_or(0.0), scalars })
    }
}

/// Numbers of the chains that judge: spread evenly over the validation split in file order, half of them without
/// homologs in the training split where there are so many.
pub fn validation_view(entries: &[Entry], config: &ValidationConfig) -> Vec<usize> {
    let of = |no_homolog: bool| -> Vec<usize> {
        let fits = |e: &Entry| {
            e.split == Split::Val
                && (16..=config.longest).contains(&e.length)
                && e.no_train_homolog == no_homolog
        };
        entries.iter().enumerate().filter(|(_, e)| fits(e)).map(|(i, _)| i).collect()
    };
    let (alone, related) = (of(true), of(false));
    let first = config.chains.div_ceil(2).max(config.chains.saturating_sub(related.len()));
    let mut chosen = spread(&alone, first);
    chosen.extend(spread(&related, config.chains - chosen.len()));
    chosen
}

/// `n` of `all`, evenly spaced; all if there are fewer.
pub fn spread(all: &[usize], n: usize) -> Vec<usize> {
    let n = n.min(all.len());
    (0..n).map(|i| all[i * all.len() / n]).collect()
}
