//! `foldry bench block`: one block of each stack at full size, what `bench/peers/cpu.py` compares with other
//! programs.

use super::usage::{cpu_seconds, forget_peak, peak_memory};
use crate::machine;
use crate::plan::{self, Dims};
use crate::precision::Precision;
use anyhow::{Result, anyhow};
use candle_core::{DType, Device, Tensor};
use fold::{Block, Config, Stack, Taps};
use nn::Params;
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// Residues, one line each
    #[arg(long, value_delimiter = ',', default_values_t = [64usize, 128, 256])]
    lengths: Vec<usize>,
    /// Clustered alignment rows, in the Evoformer
    #[arg(long, default_value_t = 512)]
    msa: usize,
    /// Extra alignment rows, in the extra-MSA stack
    #[arg(long, default_value_t = 1024)]
    extra: usize,
    /// Timed runs of a block, after one to warm up; the mean is told
    #[arg(long, default_value_t = 2)]
    runs: usize,
    /// Only the block of this stack
    #[arg(long)]
    only: Option<Which>,
    /// Numbers of the matrix products
    #[arg(long, value_enum, default_value = "f32")]
    dtype: Precision,
    /// Machine-readable lines on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Evoformer,
    Extra,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let peak = args.dtype.peak();
    if !args.json {
        println!("one core: {peak:.0} GFLOP/s of {}; {}", args.dtype.name(), machine::instructions());
        println!(
            "{:<10} {:>5} {:>5} {:>9} {:>9} {:>10} {:>9} {:>10}",
            "block", "rows", "r", "seconds", "CPU s", "GFLOP", "of peak", "peak GB"
        );
    }
    let both = [("evoformer", Which::Evoformer, args.msa), ("extra", Which::Extra, args.extra)];
    for &r in &args.lengths {
        for &(name, which, rows) in both.iter().filter(|both| args.only.is_none_or(|only| only == both.1)) {
            let done = time(which, rows, r, args.runs.max(1), args.dtype)?;
            let gflop = gflop(which, rows, r);
            let share = gflop / done.cpu / peak;
            if args.json {
                let line = serde_json::json!({"block": name, "rows": rows, "residues": r, "seconds": done.seconds,
                    "cpu_seconds": done.cpu, "gflop": gflop, "share_of_peak": share, "core_peak_gflops": peak, "dtype": args.dtype.name(),
                    "peak_bytes": done.bytes});
                println!("{line}");
            } else {
                println!(
                    "{name:<10} {rows:>5} {r:>5} {:>9.3} {:>9.3} {gflop:>10.1} {:>8.0}% {:>10.2}",
                    done.seconds,
                    done.cpu,
                    100.0 * share,
                    done.bytes as f64 / 1e9
                );
            }
        }
    }
    Ok(())
}

/// Of one run: seconds and CPU seconds; and the most memory the process held, bytes.
struct Done {
    seconds: f64,
    cpu: f64,
    bytes: u64,
}

fn time(which: Which, rows: usize, r: usize, runs: usize, dtype: Precision) -> Result<Done> {
    let config = Config::preset("model_5_ptm").ok_or_else(|| anyhow!("no preset model_5_ptm"))?;
    let t = &config.embeddings_and_evoformer;
    let (stack, c) = match which {
        Which::Evoformer => (Stack::Main, t.msa_channel),
        Which::Extra => (Stack::Extra, t.extra_msa_channel),
    };
    let p = Params::made_up(1, &Device::Cpu).matrices_in(dtype.dtype());
    let block = Block::load(&p, "block".into(), c, t.pair_channel, &t.evoformer, stack)?;
    let mut m = p.get("m", &[rows, r, c])?;
    let mut z = p.get("z", &[r, r, t.pair_channel])?;
    let ones = |n: usize| Tensor::ones((n, r), DType::F32, &Device::Cpu);
    let masks = (ones(rows)?, ones(r)?);
    let once = |m: Tensor, z: Tensor| block.forward(m, z, (&masks.0, &masks.1), &Taps::off());
    nn::cpu::release_scratch(); // what was kept for another length counts no more
    (m, z) = once(m, z)?;
    forget_peak();
    let (start, before) = (Instant::now(), cpu_seconds());
    for _ in 0..runs {
        (m, z) = once(m, z)?;
    }
    let n = runs as f64;
    let (seconds, cpu) = (start.elapsed().as_secs_f64() / n, (cpu_seconds() - before) / n);
    Ok(Done { seconds, cpu: cpu.max(0.005), bytes: peak_memory() }) // the clock's resolution is 10 ms
}

/// Operations of one block, 10⁹; a multiply-add counts two.
fn gflop(which: Which, rows: usize, r: usize) -> f64 {
    let d = Dims::full(r, rows, rows);
    let one = |stack: plan::Stack| plan::Stack { blocks: 1, ..stack };
    let none = plan::Stack::default();
    let (evoformer, extra_stack) = match which {
        Which::Evoformer => (one(d.evoformer), none),
        Which::Extra => (none, one(d.extra_stack)),
    };
    1e-9 * plan::flops(&Dims { evoformer, extra_stack, layers: 0, pair_bins: 0, ..d })
}
