//! `foldry bench op`: each operation of the network at full size, forward in place and backward.

use super::cases::{Case, Weights, cases};
use super::usage::cpu_seconds;
use crate::device::Choice;
use crate::machine;
use crate::precision::Precision;
use anyhow::{Result, anyhow};
use candle_core::{Tensor, Var};
use std::time::Instant;

#[derive(clap::Args)]
pub struct Args {
    /// Residues, one table each
    #[arg(long, value_delimiter = ',', default_values_t = [128usize, 256])]
    pub lengths: Vec<usize>,
    /// Clustered alignment rows
    #[arg(long, default_value_t = 512)]
    pub msa: usize,
    /// Extra alignment rows
    #[arg(long, default_value_t = 1024)]
    pub extra: usize,
    /// Only operations whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub only: String,
    /// cpu, cuda or cuda:N; on a GPU --msa, --extra and the lengths mean the same
    #[arg(long, default_value = "cpu")]
    pub device: Choice,
    /// What a GPU's products are of
    #[arg(long, value_enum, default_value = "f32")]
    pub dtype: Precision,
    /// On a GPU: also compare results with those of the CPU in f32, and fail if they differ too much
    #[arg(long)]
    pub check: bool,
    /// Machine-readable lines on stdout
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let peak = nn::cpu::fma_peak(nn::cpu::Number::F32, 5);
    if !args.json {
        println!("one core: {peak:.0} GFLOP/s of f32 FMA; {}", machine::instructions());
    }
    for &r in &args.lengths {
        if !args.json {
            println!("r = {r}, {} + {} rows", args.msa, args.extra);
            let titles = ["GFLOP", "MB", "seconds", "CPU s", "of peak", "backward CPU s", "of peak"];
            let [a, b, c, d, e, f, g] = titles;
            println!("{:<28} {a:>8} {b:>8} {c:>8} {d:>8} {e:>8} {f:>15} {g:>8}", "");
        }
        for case in cases(r, args.msa, args.extra).iter().filter(|case| case.name.contains(&args.only)) {
            let done = time(case, peak)?;
            // Two products of the forward's size give the gradients of both factors; what is computed again
            // in the backward pass is not counted.
            let forward = case.gflop / done.cpu / peak;
            let backward = 2.0 * case.gflop / done.backward / peak;
            if args.json {
                let line = serde_json::json!({"op": case.name, "residues": r, "gflop": case.gflop, "bytes": done.bytes,
                    "seconds": done.seconds, "cpu_seconds": done.cpu, "share_of_peak": forward,
                    "backward_cpu_seconds": done.backward, "backward_share_of_peak": backward,
                    "core_peak_gflops": peak});
                println!("{line}");
            } else {
                println!(
                    "{:<28} {:>8.1} {:>8.1} {:>8.3} {:>8.3} {:>7.0}% {:>15.3} {:>7.0}%",
                    case.name,
                    case.gflop,
                    done.bytes as f64 / 1e6,
                    done.seconds,
                    done.cpu,
                    100.0 * forward,
                    done.backward,
                    100.0 * backward
                );
            }
        }
        nn::cpu::release_scratch();
    }
    Ok(())
}

/// Half of what the clock of CPU time tells apart, seconds.
const RESOLUTION: f64 = 0.005;

/// What was seen of one operation.
struct Times {
    /// Least a forward pass has to move: every input read and the result written once.
    bytes: usize,
    /// Of a forward pass, its CPU seconds, and those of a backward pass.
    seconds: f64,
    cpu: f64,
    backward: f64,
}

fn time(case: &Case, peak: f64) -> Result<Times> {
    let weights = Weights::new(false);
    let op = (case.make)(&weights)?;
    let mut onto = weights.tensor("onto", &case.onto)?;
    let from = case.from.as_ref().map(|shape| weights.tensor("from", shape)).transpose()?;
    let once = |onto: Tensor| -> Result<Tensor> { Ok(op(from.as_ref().unwrap_or(&onto)).onto(onto)?) };
    let bytes = 4 * (weights.elements() + onto.elem_count());
    onto = once(onto)?;
    // For about half a second, after one to warm up.
    let runs = (0.5 * peak / case.gflop).clamp(1.0, 50.0) as usize;
    let (start, before) = (Instant::now(), cpu_seconds());
    for _ in 0..runs {
        onto = once(onto)?;
    }
    let n = runs as f64;
    let (seconds, cpu) = (start.elapsed().as_secs_f64() / n, (cpu_seconds() - before).max(RESOLUTION) / n);
    Ok(Times { bytes, seconds, cpu, backward: backward(case)? })
}

/// CPU seconds of one backward pass, to the first input and all weights.
fn backward(case: &Case) -> Result<f64> {
    let weights = Weights::new(true);
    let op = (case.make)(&weights)?;
    let x = Var::from_tensor(&weights.tensor("x", case.from.as_ref().unwrap_or(&case.onto))?)?;
    let sum = op(x.as_tensor()).tensor()?.sum_all()?;
    let before = cpu_seconds();
    let grads = sum.backward()?;
    let spent = cpu_seconds() - before;
    grads.get(x.as_tensor()).ok_or_else(|| anyhow!("{}: no gradient to its input", case.name))?;
    Ok(spent.max(RESOLUTION))
}
