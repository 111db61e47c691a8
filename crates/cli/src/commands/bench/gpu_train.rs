//! `foldry bench train --device cuda`: training steps on a GPU, timed between two waits, and their loss and gradients compared with the
//! CPU's in f32.

use super::gpu::{is_below, largest, norms, refuse};
use super::train::{Args, Step, config, is_idle, made_up, pass_gflop, variables};
use anyhow::{Result, anyhow};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use fold::Model;
use nn::cuda::{self, Precision};
use std::collections::BTreeMap;
use std::time::Instant;

/// Relative errors that a step may have: of its loss, of all gradients as one vector, of each parameter's. Errors of the blocks add up,
/// and a gradient changes with every ReLU and clamped distance that rounding decides otherwise.
fn bounds(precision: Precision) -> [f64; 3] {
    match precision {
        Precision::F32 => [1e-3, 1e-2, 5e-2],
        Precision::Bf16 => [2e-2, 2e-1, 5e-1],
    }
}

/// Runs the command.
pub fn report(args: &Args) -> Result<()> {
    let precision = args.dtype.on_gpu();
    let gpu = args.device.open(precision)?;
    let config = config(args)?;
    let tensors = Model::parameters_by(&config, made_up)?;
    let vars = variables(&tensors, &gpu.device)?;
    let step = Step::new(args, &config, &vars)?;
    let (first, grads) = step.run()?;
    let errors = if args.check {
        let on_cpu = variables(&tensors, &Device::Cpu)?;
        let (times, want) = Step::new(args, &config, &on_cpu)?.run()?;
        let loss = f64::from((first.loss - times.loss).abs() / times.loss.abs());
        let [all, worst] = compare((&vars, &grads), (&on_cpu, &want))?;
        Some([loss, all, worst])
    } else {
        None
    };
    drop(grads);
    cuda::take_peak_memory(&gpu.device)?;
    cuda::finish(&gpu.device)?;
    let (start, steps) = (Instant::now(), args.steps.max(1));
    for _ in 0..steps {
        step.run()?;
    }
    cuda::finish(&gpu.device)?;
    let seconds = start.elapsed().as_secs_f64() / steps as f64;
    let bytes = cuda::take_peak_memory(&gpu.device)?;
    // Two products of the forward's size give the gradients of both factors.
    let gflop = (args.recycles + 3) as f64 * pass_gflop(args, &config, &tensors);
    if args.json {
        let line = serde_json::json!({"crop": args.crop, "dtype": precision.name(), "seconds": seconds, "gflop": gflop,
            "peak_bytes": bytes, "loss": first.loss, "errors": errors});
        println!("{line}");
    } else {
        println!("{}, {} products, crop {}", gpu.name, precision.name(), args.crop);
        let (gb, rate) = (bytes as f64 / 1e9, gflop / seconds * 1e-3);
        println!("a step: {seconds:.3} s, {rate:.1} TFLOP/s; most memory {gb:.2} GB; loss {:.4}", first.loss);
        if let Some([loss, all, worst]) = errors {
            println!(
                "errors: loss {loss:.1e}, all gradients {all:.1e}, the worst of a parameter {worst:.1e}"
            );
        }
    }
    let names = ["loss", "all gradients", "a parameter's gradient"];
    let checked = errors.into_iter().flat_map(|errors| names.into_iter().zip(errors));
    let wrong = checked.zip(bounds(precision)).filter(|((_, error), bound)| !is_below(*error, *bound));
    refuse(&wrong.map(|((name, _), _)| name.to_string()).collect::<Vec<_>>())
}

type Of<'a> = (&'a BTreeMap<String, Var>, &'a GradStore);

/// Relative errors of all gradients as one vector, and of the worst.
fn compare(got: Of<'_>, want: Of<'_>) -> Result<[f64; 2]> {
    let of = |(vars, grads): Of<'_>, name: &str| -> Result<Tensor> {
        let var: &Var = &vars[name];
        Ok(grads.get(var.as_tensor()).ok_or_else(|| anyhow!("{name}: no gradient"))?.clone())
    };
    let names = want.0.keys().filter(|name| !is_idle(name));
    let pairs = names.map(|name| Ok((of(got, name)?, of(want, name)?))).collect::<Result<Vec<_>>>()?;
    let squares = pairs.iter().map(|(a, b)| norms(a, b)).collect::<Result<Vec<_>>>()?;
    let sum = |f: fn(&(f64, f64)) -> f64| squares.iter().map(f).sum::<f64>().sqrt();
    let all = sum(|(difference, _)| difference.powi(2)) / sum(|(_, norm)| norm.powi(2));
    Ok([all, largest(pairs.iter().map(|(a, b)| (a, b)))?])
}
