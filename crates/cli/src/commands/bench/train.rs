//! `foldry bench train`: training steps of a small network on a made-up batch of one crop.

use super::usage::{cpu_seconds, forget_peak, peak_memory};
use crate::device::Choice;
use crate::forward_run::truth;
use crate::precision::Precision;
use crate::{machine, plan};
use anyhow::{Context, Result, anyhow};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use features::ModelInput;
use fold::{Config, Model, Taps};
use losses::LossConfig;
use nn::files::{Array, Arrays};
use nn::{Leaves, Segments};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

/// candle walks the tape by recursion: this is enough for networks of full depth.
const STACK: usize = 1 << 30;

#[derive(clap::Args)]
pub struct Args {
    /// Residues of the crop
    #[arg(long, default_value_t = 64)]
    pub crop: usize,
    /// Clustered alignment rows
    #[arg(long, default_value_t = 128)]
    msa: usize,
    /// Extra alignment rows
    #[arg(long, default_value_t = 256)]
    extra: usize,
    /// Evoformer blocks
    #[arg(long, default_value_t = 4)]
    blocks: usize,
    /// Extra-MSA blocks
    #[arg(long, default_value_t = 2)]
    extra_blocks: usize,
    /// Channels of the MSA, extra-MSA and pair representations; 0: AlphaFold's own, 256, 64 and 128
    #[arg(long, default_value_t = 64)]
    channels: usize,
    /// Passes before the one with a gradient
    #[arg(long, default_value_t = 1)]
    pub recycles: usize,
    /// Steps that are timed, after one to warm up
    #[arg(long, default_value_t = 5)]
    pub steps: usize,
    /// Keep only what goes from block to block and run blocks again on the way back, as a recipe's
    /// `passes.checkpoint_activations` does
    #[arg(long)]
    checkpoint_activations: bool,
    /// cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    pub device: Choice,
    /// What a GPU's products are of
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: Precision,
    /// On a GPU: compare the loss and all gradients with those of the CPU in f32, and fail if they differ too much
    #[arg(long)]
    pub check: bool,
    /// Machine-readable lines on stdout
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    nn::cpu::keep_freed_memory();
    std::thread::scope(|s| {
        let report: fn(&Args) -> Result<()> =
            if args.device.is_gpu() { super::gpu_train::report } else { report };
        let worker = std::thread::Builder::new().stack_size(STACK).spawn_scoped(s, move || report(args));
        worker
            .context("starting the training thread")?
            .join()
            .map_err(|_| anyhow!("the training thread failed"))?
    })
}

fn report(args: &Args) -> Result<()> {
    let config = config(args)?;
    let tensors = Model::parameters_by(&config, made_up)?;
    let vars = variables(&tensors, &Device::Cpu)?;
    let step = Step::new(args, &config, &vars)?;
    let (first, _) = step.run()?;
    forget_peak();
    let start = Instant::now();
    let all = (0..args.steps.max(1)).map(|_| Ok(step.run()?.0)).collect::<Result<Vec<_>>>()?;
    let seconds = start.elapsed().as_secs_f64() / all.len() as f64;
    let memory = peak_memory();
    let mean = |part: fn(&Times) -> f64| all.iter().map(part).sum::<f64>() / all.len() as f64;
    let parts = [
        ("recycles", mean(|t| t.recycles)),
        ("forward", mean(|t| t.forward)),
        ("losses", mean(|t| t.losses)),
        ("backward", mean(|t| t.backward)),
    ];
    let cpu: f64 = parts.iter().map(|part| part.1).sum();
    // Two products of the forward's size give the gradients of both factors.
    let pass = pass_gflop(args, &config, &tensors);
    let gflop = (args.recycles + 3) as f64 * pass;
    let peak = nn::cpu::fma_peak(nn::cpu::Number::F32, 5);
    let (share, parameters) = (gflop / cpu / peak, tensors.values().map(Tensor::elem_count).sum::<usize>());
    if args.json {
        let line = serde_json::json!({"crop": args.crop, "msa": args.msa, "extra_msa": args.extra, "blocks": args.blocks,
            "extra_blocks": args.extra_blocks, "channels": args.channels, "recycles": args.recycles, "parameters": parameters,
            "seconds": seconds, "cpu_seconds": cpu, "parts": BTreeMap::from(parts), "gflop": gflop, "share_of_peak": share,
            "core_peak_gflops": peak, "peak_bytes": memory, "loss": first.loss});
        println!("{line}");
        return Ok(());
    }
    println!("one core: {peak:.0} GFLOP/s of f32 FMA; {}", machine::instructions());
    println!(
        "crop {}, {} + {} rows, {} + {} blocks of {} channels, {} recycle(s), {parameters} parameters",
        args.crop, args.msa, args.extra, args.blocks, args.extra_blocks, args.channels, args.recycles
    );
    println!("{:.2} samples/s; a step: {seconds:.3} s, {cpu:.3} CPU s", 1.0 / seconds);
    for (name, part) in parts {
        println!("  {name:<9} {part:.3} CPU s");
    }
    println!(
        "{gflop:.1} GFLOP, {:.0}% of the peak; most memory {:.2} GB; loss {:.4}",
        100.0 * share,
        memory as f64 / 1e9,
        first.loss
    );
    Ok(())
}

/// Parameters that keep gradients, on a device.
pub(super) fn variables(
    tensors: &BTreeMap<String, Tensor>,
    device: &Device,
) -> Result<BTreeMap<String, Var>> {
    let var = |t: &Tensor| -> Result<Var> { Ok(Var::from_tensor(&t.to_device(device)?)?) };
    tensors.iter().map(|(name, t)| Ok((name.clone(), var(t)?))).collect()
}

/// CPU seconds of a step's parts, and its loss.
pub(super) struct Times {
    recycles: f64,
    forward: f64,
    losses: f64,
    backward: f64,
    pub loss: f32,
}

/// What every step does again: the batch and the network, for gradients and without.
pub(super) struct Step<'a> {
    recycles: usize,
    checkpoint: bool,
    tracked: Arc<Model>,
    still: Model,
    samples: Vec<ModelInput>,
    labels: Arrays,
    losses: LossConfig,
    vars: &'a BTreeMap<String, Var>,
}

impl<'a> Step<'a> {
    pub fn new(args: &Args, config: &Config, vars: &'a BTreeMap<String, Var>) -> Result<Self> {
        let load = |of: fn(&Tensor) -> Tensor| {
            let tensors = vars.iter().map(|(name, var)| (name.clone(), of(var.as_tensor()))).collect();
            Model::load(config, tensors, candle_core::DType::F32)
        };
        let samples = super::model::sample(args.crop, args.msa, args.extra)?;
        Ok(Self {
            recycles: args.recycles,
            checkpoint: args.checkpoint_activations,
            tracked: Arc::new(load(Tensor::clone)?),
            still: load(Tensor::detach)?,
            labels: labels(&samples[0]),
            samples,
            losses: LossConfig::initial_training(),
            vars,
        })
    }

    /// One step: its times, loss and gradients.
    pub fn run(&self) -> Result<(Times, GradStore)> {
        let sample = &self.samples[0];
        let mut go_on = |_| ControlFlow::Continue(());
        let mut clock = Clock(cpu_seconds());
        let mut previous = self.still.nothing_before(sample.num_res())?;
        for _ in 0..self.recycles {
            previous = self.still.pass(&self.samples, previous, &Taps::off(), &mut go_on)?.previous();
        }
        let recycles = clock.lap();
        let mut segments = self.checkpoint.then(Segments::default);
        let leaves = Leaves::default();
        let outputs = leaves.over(|| match &mut segments {
            Some(segments) => {
                self.tracked.pass_in_segments(&Arc::new(sample.clone()), previous, None, segments)
            }
            None => self.tracked.pass(&self.samples, previous, &Taps::off(), &mut go_on),
        })?;
        let forward = clock.lap();
        let numbers: Vec<i32> = sample.residue_index.to_vec();
        let total = truth::losses(&outputs, (sample, &numbers), &self.labels, &self.losses)?.total;
        let losses = clock.lap();
        let grads = match segments {
            Some(segments) => segments.backward(&total, &leaves)?,
            None => leaves.backward(&total)?,
        };
        // What an optimizer would read: a gradient that is missing is none of a training step.
        let missing = self.vars.iter().find(|(_, var)| grads.get(var.as_tensor()).is_none());
        if let Some((name, _)) = missing.filter(|(name, _)| !is_idle(name)) {
            return Err(anyhow!("{name}: no gradient"));
        }
        let loss = total.to_scalar()?;
        drop((total, outputs));
        Ok((Times { recycles, forward, losses, backward: clock.lap(), loss }, grads))
    }
}

/// Parameters that the losses of the first stage of training do not depend on.
pub(super) fn is_idle(name: &str) -> bool {
    name.starts_with("aux_heads.experimentally_resolved")
}

/// CPU time between laps.
struct Clock(f64);

impl Clock {
    fn lap(&mut self) -> f64 {
        let now = cpu_seconds();
        now - std::mem::replace(&mut self.0, now)
    }
}

/// AlphaFold's network without templates and aligned errors, narrower and with fewer blocks.
pub(super) fn config(args: &Args) -> Result<Config> {
    let mut config = Config::preset("model_5").ok_or_else(|| anyhow!("no preset model_5"))?;
    let trunk = &mut config.embeddings_and_evoformer;
    (trunk.evoformer_num_block, trunk.extra_msa_stack_num_block) = (args.blocks, args.extra_blocks);
    if args.channels > 0 {
        (trunk.msa_channel, trunk.pair_channel, trunk.extra_msa_channel) =
            (args.channels, args.channels, args.channels);
    }
    Ok(config)
}

/// GFLOP of one pass's matrix products.
pub(super) fn pass_gflop(args: &Args, config: &Config, tensors: &BTreeMap<String, Tensor>) -> f64 {
    // Sizes are read off the parameters' shapes; their values do not matter.
    let shape =
        |(name, t): (&String, &Tensor)| (name.clone(), Array::from_f32(t.dims(), &vec![0.0; t.elem_count()]));
    let arrays: Arrays = tensors.iter().map(shape).collect();
    let dims = plan::Dims::of_parameters(&arrays, args.crop, args.msa, args.extra, 0);
    plan::flops(&plan::Dims { layers: config.heads.structure_module.num_layer, ..dims }) * 1e-9
}

/// Noise of variance 1/inputs; 1 for the scale of a layer norm, 0 for offsets.
pub(super) fn made_up(name: &str, shape: &[usize]) -> nn::Result<Tensor> {
    let mut state =
        name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let (centre, spread) = match shape {
        [_, inner] => (0.0, (3.0 / *inner as f32).sqrt()),
        _ if name.ends_with("weight") => (1.0, 0.0),
        _ => (0.0, 0.0),
    };
    let mut value = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        centre + spread * ((state >> 40) as f32 / (1u32 << 23) as f32 - 1.0)
    };
    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(&mut value).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// Residues on a helix, all atoms there: each at its literature place, were every torsion 0.
fn labels(sample: &ModelInput) -> Arrays {
    let r = sample.num_res();
    let (mut positions, mut mask) = (vec![0.0f32; r * 37 * 3], vec![0.0f32; r * 37]);
    for (i, &kind) in sample.aatype.iter().enumerate() {
        let kind = kind.clamp(0, 20) as usize;
        let (sin, cos) = (1.745 * i as f32).sin_cos(); // 100° a residue, 1.5 Å up
        for atom in (0..37).filter(|&atom| chem::atoms::STANDARD_ATOM_MASK[kind][atom] != 0.0) {
            // Groups of side chains are put one behind the other: not a real molecule, but one with all frames.
            let group = chem::rigid::ATOM37_TO_GROUP[kind][atom] as f32;
            let [x, y, z] = chem::rigid::ATOM37_GROUP_POSITIONS[kind][atom];
            let (x, y) = (x + 2.3 + group, y);
            positions[(i * 37 + atom) * 3..][..3].copy_from_slice(&[
                cos * x - sin * y,
                sin * x + cos * y,
                z + 1.5 * i as f32,
            ]);
            mask[i * 37 + atom] = 1.0;
        }
    }
    Arrays::from([
        ("all_atom_positions".to_owned(), Array::from_f32(&[r, 37, 3], &positions)),
        ("all_atom_mask".to_owned(), Array::from_f32(&[r, 37], &mask)),
        ("resolution".to_owned(), Array::from_f32(&[1], &[2.0])),
    ])
}
