//! `foldry doctor`: what this machine can do and which weights are here.

use super::weights::installed;
use crate::machine;
use crate::plan::{Dims, Plan};
use nn::cuda;
use std::io::Write;

/// Show cores, instruction set, memory, speed and installed weights.
#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// The first GPU, or why none is used.
fn gpu_line() -> String {
    match (cuda::usable(0), cuda::gpus().as_deref()) {
        (Ok(gpu), _) => {
            let (major, minor) = gpu.capability;
            format!("{}, {}, compute capability {major}.{minor}", gpu.name, machine::gb(gpu.memory))
        }
        (Err(why), Ok([gpu, ..])) => format!("not used: {why}; the driver finds {}", gpu.name),
        (Err(why), _) => format!("none: {why}"),
    }
}

/// The same for programs: `usable`, and `name` and `memory` or `reason`.
fn gpu_object() -> serde_json::Value {
    match cuda::usable(0) {
        Ok(gpu) => serde_json::json!({"usable": true, "name": gpu.name, "memory": gpu.memory,
            "capability": [gpu.capability.0, gpu.capability.1]}),
        Err(reason) => serde_json::json!({"usable": false, "reason": reason}),
    }
}

/// Prints the findings on stdout.
pub fn run(args: Args) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (threads, memory, gflops) = (machine::threads(), machine::memory(), machine::gflops());
    let weights = installed();
    let mut out = crate::console::out();
    if args.json {
        let weights: Vec<_> = weights
            .iter()
            .map(|w| serde_json::json!({"model": w.model, "path": w.path, "size": w.size}))
            .collect();
        let object = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "cores": cores, "threads": threads,
            "instructions": machine::instructions(), "arch": std::env::consts::ARCH,
            "memory_total": memory.map(|m| m.total), "memory_available": memory.map(|m| m.available),
            "gflops": (gflops * 10.0).round() / 10.0, "gpu": gpu_object(), "weights": weights,
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    writeln!(out, "foldry        {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "cores         {cores} ({threads} threads compute)")?;
    writeln!(out, "instructions  {} on {}", machine::instructions(), std::env::consts::ARCH)?;
    match memory {
        Some(m) => {
            writeln!(out, "memory        {}, {} available", machine::gb(m.total), machine::gb(m.available))?
        }
        None => writeln!(out, "memory        unknown on this system")?,
    }
    writeln!(out, "speed         {gflops:.0} GFLOP/s in f32 matrix products")?;
    let dims = Dims::full(256, 512, 1024);
    let plan = Plan::new(&dims, 4, threads, gflops);
    let (time, memory) = (machine::duration(plan.seconds), machine::gb(plan.bytes));
    writeln!(out, "estimate      256 residues, 512+1024 rows, 4 passes: about {time}, {memory}")?;
    writeln!(out, "GPU           {}", gpu_line())?;
    if weights.is_empty() {
        writeln!(out, "weights       built-in model mini only: foldry weights pull model_1_ptm")?;
    }
    for (i, w) in weights.iter().enumerate() {
        let label = if i == 0 { "weights" } else { "" };
        writeln!(out, "{label:<13} {} ({}), {}", w.model, machine::gb(w.size), w.path.display())?;
    }
    Ok(())
}
