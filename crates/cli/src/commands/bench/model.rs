//! `foldry bench model`: one pass of the full-size network.

use super::usage::{cpu_seconds, forget_peak, peak_memory};
use crate::device::Choice;
use crate::precision::Precision;
use crate::{machine, plan};
use anyhow::{Result, anyhow};
use features::{Duplicates, FeatureConfig, RawFeatures, TemplateInput};
use fold::{Config, Model, Taps};
use ndarray::{Array1, Array2, Array3, Array4};
use std::fmt::Write;
use std::ops::ControlFlow;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// Residues, one run each
    #[arg(long, value_delimiter = ',', default_values_t = [64usize, 128, 256])]
    pub lengths: Vec<usize>,
    /// Clustered alignment rows
    #[arg(long, default_value_t = 512)]
    pub msa: usize,
    /// Extra alignment rows
    #[arg(long, default_value_t = 1024)]
    pub extra: usize,
    /// Templates of all residues; each adds a row to the clustered ones. With some it is AlphaFold's model_1_ptm, else its model_5_ptm
    #[arg(long, default_value_t = 0)]
    pub templates: usize,
    /// Evoformer blocks, and extra-MSA blocks up to 4; with few, memory at great lengths is seen soon
    #[arg(long, default_value_t = 48)]
    pub blocks: usize,
    /// Numbers of the stacks' matrix products
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: Precision,
    /// cpu, cuda or cuda:N; on a GPU --msa, --extra and the lengths mean the same
    #[arg(long, default_value = "cpu")]
    pub device: Choice,
    /// On a GPU: also compare results with those of the CPU in f32, and fail if they differ too much
    #[arg(long)]
    pub check: bool,
    /// Machine-readable lines on stdout
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// The network's sizes.
    pub fn config(&self) -> Result<Config> {
        let name = if self.templates > 0 { "model_1_ptm" } else { "model_5_ptm" };
        let mut config = Config::preset(name).ok_or_else(|| anyhow!("no preset {name}"))?;
        let stacks = &mut config.embeddings_and_evoformer;
        stacks.evoformer_num_block = self.blocks;
        stacks.extra_msa_stack_num_block = self.blocks.min(stacks.extra_msa_stack_num_block);
        Ok(config)
    }

    /// The same with the input's, as plans take them.
    pub fn dims(&self, r: usize, model: &Model) -> plan::Dims {
        let full = plan::Dims::full(r, self.msa + self.templates, self.extra);
        let bf16 = self.dtype == Precision::Bf16;
        let mut dims = plan::Dims { parameters: model.parameters(), bf16, templates: self.templates, ..full };
        let stacks = &model.config().embeddings_and_evoformer;
        dims.evoformer.blocks = stacks.evoformer_num_block;
        dims.extra_stack.blocks = stacks.extra_msa_stack_num_block;
        dims
    }

    /// One sample of a random alignment, which fills all rows, and of random templates.
    pub fn sample(&self, r: usize) -> Result<Vec<features::ModelInput>> {
        let mut samples = sample(r, self.msa, self.extra)?;
        if self.templates > 0 {
            samples[0].templates = Some(templates(self.templates, r));
        }
        Ok(samples)
    }
}

/// Atoms along a line with some turns; all are there.
fn templates(t: usize, r: usize) -> TemplateInput {
    let place = |i: usize, atom: usize, x: usize| 3.8 * i as f32 + ((i + 7 * atom + 3 * x) as f32).sin();
    TemplateInput {
        aatype: Array2::from_shape_fn((t, r), |(t, i)| ((i + t) % 20) as i32),
        mask: Array1::ones(t),
        pseudo_beta: Array3::from_shape_fn((t, r, 3), |(t, i, x)| place(i + t, 3, x)),
        pseudo_beta_mask: Array2::ones((t, r)),
        all_atom_positions: Array4::from_shape_fn((t, r, 37, 3), |(t, i, atom, x)| place(i + t, atom, x)),
        all_atom_masks: Array3::ones((t, r, 37)),
        sum_probs: Array2::ones((t, 1)),
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let config = args.config()?;
    let model = Model::made_up(&config, 1, args.dtype.dtype(), &candle_core::Device::Cpu)?;
    let peak = args.dtype.peak();
    if !args.json {
        println!("one core: {peak:.0} GFLOP/s of {}; {}", args.dtype.name(), machine::instructions());
        println!(
            "{:>5} {:>9} {:>9} {:>10} {:>9} {:>10} {:>10}",
            "r", "seconds", "CPU s", "GFLOP", "of peak", "peak GB", "planned GB"
        );
    }
    for &r in &args.lengths {
        forget_peak();
        let sample = args.sample(r)?;
        let before = model.nothing_before(r)?;
        let (start, cpu) = (Instant::now(), cpu_seconds());
        model.pass(&sample, before, &Taps::off(), &mut |_| ControlFlow::Continue(()))?;
        let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        let dims = args.dims(r, &model);
        let gflop = plan::flops(&dims) * 1e-9;
        let planned = plan::running_bytes(&dims, 1, machine::threads());
        let share = gflop / cpu / peak;
        let memory = peak_memory();
        if args.json {
            let line = serde_json::json!({"residues": r, "msa": args.msa, "extra_msa": args.extra, "seconds": seconds,
                "cpu_seconds": cpu, "gflop": gflop, "share_of_peak": share, "core_peak_gflops": peak, "dtype": args.dtype.name(), "peak_bytes": memory,
                "planned_bytes": planned});
            println!("{line}");
        } else {
            let share = 100.0 * share;
            println!(
                "{r:>5} {seconds:>9.1} {cpu:>9.1} {gflop:>10.0} {share:>8.0}% {:>10.2} {:>10.2}",
                memory as f64 / 1e9,
                planned as f64 / 1e9
            );
        }
    }
    Ok(())
}

/// One sample of a random alignment that fills all rows.
pub fn sample(r: usize, msa: usize, extra: usize) -> Result<Vec<features::ModelInput>> {
    let mut state = 1u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(chem::residue::RESTYPES[(state >> 40) as usize % 20])
    };
    let mut text = String::new();
    for row in 0..msa + extra {
        let letters: String = (0..r).map(|_| letter()).collect();
        write!(text, ">{row}\n{letters}\n")?;
    }
    let (alignment, _) = msa::a3m::parse("bench", text.as_bytes(), &msa::Limits::default())?;
    let query: String = alignment.row(0).iter().map(|&b| char::from(b)).collect();
    let mut config = FeatureConfig::preset("model_5_ptm")?;
    config.common.num_recycle = 0;
    config.common.max_extra_msa = extra;
    config.eval.max_msa_clusters = msa;
    let raw = RawFeatures::new(&query, &[&alignment], Duplicates::Keep)?;
    Ok(features::process(&raw, &config, 1)?.samples)
}
