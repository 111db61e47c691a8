//! `foldry bench --device cuda`: operations and the network on a GPU, timed between two waits, and compared with the CPU in f32.

use super::cases::{Case, Weights, cases};
use super::model::Args as ModelArgs;
use super::op::Args as OpArgs;
use crate::plan;
use anyhow::{Result, anyhow, bail};
use candle_core::{DType, Device, Tensor};
use fold::{Model, Outputs, Taps};
use nn::Update;
use nn::cuda::{self, Precision};
use std::ops::ControlFlow;
use std::time::Instant;

/// Runs that are timed one by one, after one that loads kernels; the middle one counts.
const RUNS: usize = 11;

/// ‖GPU − CPU‖ / ‖CPU‖ that one operation may have: products of two bf16 parts each are right to about 1e-5, of one to 2^-9.
fn bound_of_op(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-4,
        Precision::Bf16 => 2e-2,
    }
}

/// The same of one operation's gradients; those that cancel are compared with the largest of them.
fn bound_of_gradients(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 2e-4,
        Precision::Bf16 => 4e-2,
    }
}

/// The same of representations after all blocks, where errors have added up.
fn bound_of_model(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 1e-3,
        Precision::Bf16 => 1e-1,
    }
}

/// Every operation of a block.
pub fn ops(args: &OpArgs) -> Result<()> {
    let precision = args.dtype.on_gpu();
    let gpu = args.device.open(precision)?;
    if !args.json {
        println!("{}, {} products", gpu.name, precision.name());
    }
    let mut wrong = Vec::new();
    for &r in &args.lengths {
        if !args.json {
            println!("r = {r}, {} + {} rows", args.msa, args.extra);
            let [a, b, c, d, e] = ["GFLOP", "ms", "TFLOP/s", "error", "gradients"];
            println!("{:<28} {a:>8} {b:>9} {c:>9} {d:>9} {e:>9}", "");
        }
        for case in cases(r, args.msa, args.extra).iter().filter(|case| case.name.contains(&args.only)) {
            let Seen { ms, error, gradients } = one(case, &gpu.device, args.check)?;
            let rate = case.gflop / ms;
            if args.json {
                let line = serde_json::json!({"op": case.name, "residues": r, "dtype": precision.name(), "ms": ms,
                    "gflop": case.gflop, "tflops": rate, "error": error, "gradient_error": gradients});
                println!("{line}");
            } else {
                let [error, gradients] =
                    [error, gradients].map(|e| e.map_or_else(String::new, |e| format!("{e:.1e}")));
                let (name, gflop) = (case.name, case.gflop);
                println!("{name:<28} {gflop:>8.1} {ms:>9.3} {rate:>9.1} {error:>9} {gradients:>9}");
            }
            if error.is_some_and(|e| !is_below(e, bound_of_op(precision))) {
                wrong.push(format!("{} at r = {r}", case.name));
            }
            if gradients.is_some_and(|e| !is_below(e, bound_of_gradients(precision))) {
                wrong.push(format!("gradients of {} at r = {r}", case.name));
            }
        }
    }
    refuse(&wrong)
}

/// Whether an error is within its bound; one that is no number is not.
pub(super) fn is_below(error: f64, bound: f64) -> bool {
    matches!(error.partial_cmp(&bound), Some(order) if order.is_lt())
}

pub(super) fn refuse(wrong: &[String]) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the GPU's results differ from the CPU's: {}", wrong.join(", "))
}

/// What was seen of one operation: milliseconds onto its representation, the relative error of its result, and the largest of a gradient.
struct Seen {
    ms: f64,
    error: Option<f64>,
    gradients: Option<f64>,
}

fn one(case: &Case, device: &Device, check: bool) -> Result<Seen> {
    let weights = Weights::new(false);
    let op = (case.make)(&weights)?;
    let onto = weights.tensor("onto", &case.onto)?;
    let from = case.from.as_ref().map(|shape| weights.tensor("from", shape)).transpose()?;
    let update = op(from.as_ref().unwrap_or(&onto));
    let moved = update.to_device(device)?;
    let gradients = if check { Some(gradients(case, &update, &moved, device)?) } else { None };
    let error = if check { Some(difference(&moved.clone().tensor()?, &update.tensor()?)?) } else { None };
    let mut to = if from.is_some() { onto.to_device(device)? } else { moved.inputs()[0].clone() };
    let mut times = Vec::with_capacity(RUNS);
    for run in 0..=RUNS {
        cuda::finish(device)?;
        let start = Instant::now();
        to = if case.alone { moved.clone().tensor()? } else { moved.clone().onto(to)? };
        cuda::finish(device)?;
        if run > 0 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(Seen { ms: times[RUNS / 2], error, gradients })
}

/// Largest relative error of a gradient, from the same gradient of the result.
fn gradients(case: &Case, update: &Update, moved: &Update, device: &Device) -> Result<f64> {
    let grad = Weights::new(false).tensor("grad", &case.onto)?;
    let wanted: Vec<bool> = (0..update.inputs().len()).map(|i| case.mask != Some(i)).collect();
    let want = update.gradients(&grad, &wanted)?;
    let got = moved.gradients(&grad.to_device(device)?, &wanted)?;
    largest(got.iter().zip(&want).filter_map(|(got, want)| Some((got.as_ref()?, want.as_ref()?))))
}

/// Largest ‖a − b‖ / ‖b‖ of gradients; the least ‖b‖ is a thousandth of the largest, for what cancels.
pub(super) fn largest<'a>(pairs: impl Iterator<Item = (&'a Tensor, &'a Tensor)>) -> Result<f64> {
    let norms = pairs.map(|(a, b)| norms(a, b)).collect::<Result<Vec<_>>>()?;
    let floor = norms.iter().map(|(_, norm)| 1e-3 * norm).fold(f64::MIN_POSITIVE, f64::max);
    let errors = norms.iter().map(|(difference, norm)| difference / norm.max(floor));
    // `max` would pass over what is no number: here it stays.
    Ok(errors.fold(0.0, |worst: f64, error| if worst.is_nan() || error <= worst { worst } else { error }))
}

/// ‖a − b‖ / ‖b‖.
fn difference(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (difference, norm) = norms(a, b)?;
    Ok(difference / norm.max(f64::MIN_POSITIVE))
}

/// ‖a − b‖ and ‖b‖.
pub(super) fn norms(a: &Tensor, b: &Tensor) -> Result<(f64, f64)> {
    let values = |t: &Tensor| t.flatten_all()?.to_vec1::<f32>();
    let (a, b) = (values(a)?, values(b)?);
    let sum: f64 = a.iter().zip(&b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
    let norm: f64 = b.iter().map(|y| f64::from(*y).powi(2)).sum();
    Ok((sum.sqrt(), norm.sqrt()))
}

/// One pass of the full-size network.
pub fn model(args: &ModelArgs) -> Result<()> {
    let precision = args.dtype.on_gpu();
    let gpu = args.device.open(precision)?;
    let config = args.config()?;
    let model = Model::made_up(&config, 1, DType::F32, &gpu.device)?;
    let reference = args.check.then(|| Model::made_up(&config, 1, DType::F32, &Device::Cpu)).transpose()?;
    if !args.json {
        println!("{}, {} products; seconds of a pass: middle of 3 after one", gpu.name, precision.name());
        let [gflop, rate, peak, planned] = ["GFLOP", "TFLOP/s", "peak GB", "planned"];
        println!("{:>5} {:>9} {gflop:>9} {rate:>9} {peak:>9} {planned:>9}  error", "r", "seconds");
    }
    let mut wrong = Vec::new();
    for &r in &args.lengths {
        let sample = args.sample(r)?;
        let pass = |model: &Model| -> Result<Outputs> {
            let before = model.nothing_before(r)?;
            Ok(model.pass(&sample, before, &Taps::off(), &mut |_| ControlFlow::Continue(()))?)
        };
        // Loads kernels; what it gives is gone before the others begin, as in a prediction.
        let first = pass(&model)?;
        let errors = reference.as_ref().map(|reference| compare(&first, &pass(reference)?)).transpose()?;
        drop(first);
        peak(&gpu.device)?;
        let mut times = Vec::new();
        for _ in 0..3 {
            cuda::finish(&gpu.device)?;
            let start = Instant::now();
            let outputs = pass(&model)?;
            cuda::finish(&gpu.device)?;
            times.push(start.elapsed().as_secs_f64());
            drop(outputs);
        }
        times.sort_by(f64::total_cmp);
        let (seconds, bytes) = (times[1], peak(&gpu.device)?);
        let dims = args.dims(r, &model);
        let gflop = plan::flops(&dims) * 1e-9;
        let planned = plan::GpuPlan::new(&dims, 1, precision, u64::MAX).map_err(|e| anyhow!(e))?.bytes;
        if args.json {
            let line = serde_json::json!({"residues": r, "msa": args.msa, "extra_msa": args.extra,
                "blocks": args.blocks, "dtype": precision.name(), "seconds": seconds, "gflop": gflop,
                "tflops": gflop / seconds * 1e-3, "peak_bytes": bytes, "planned_bytes": planned,
                "planned_for_driver_bytes": plan::CONTEXT, "errors": errors});
            println!("{line}");
        } else {
            let rate = gflop / seconds * 1e-3;
            let text: Vec<String> =
                errors.iter().flatten().map(|(name, error)| format!("{name} {error:.1e}")).collect();
            let ([peak, planned], text) = ([bytes, planned].map(|b| b as f64 / 1e9), text.join(", "));
            println!("{r:>5} {seconds:>9.3} {gflop:>9.0} {rate:>9.1} {peak:>9.2} {planned:>9.2}  {text}");
        }
        let bound = bound_of_model(precision);
        for (name, error) in errors.iter().flatten() {
            if !is_below(*error, bound) {
                wrong.push(format!("{name} at r = {r}"));
            }
        }
    }
    refuse(&wrong)
}

/// Relative errors of what a pass gives.
fn compare(got: &Outputs, want: &Outputs) -> Result<Vec<(&'static str, f64)>> {
    [
        ("msa", &got.msa, &want.msa),
        ("pair", &got.pair, &want.pair),
        ("single", &got.single, &want.single),
        ("atoms", &got.structure.atom14, &want.structure.atom14),
    ]
    .into_iter()
    .map(|(name, got, want)| Ok((name, difference(got, want)?)))
    .collect()
}

/// Most memory held on the GPU since the last call.
fn peak(device: &Device) -> Result<u64> {
    Ok(cuda::take_peak_memory(device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_gradient_counts_and_no_number_is_worst() {
        let t = |x: [f32; 2]| Tensor::new(&x, &Device::Cpu).unwrap();
        let large = (t([3000.0, 4000.0]), t([3000.0, 4000.0]));
        let off = (t([30.0, 44.0]), t([30.0, 40.0]));
        // A gradient that cancels: its error is one of the largest's thousandth, 5.
        let cancels = (t([0.0, 1e-3]), t([0.0, 0.0]));
        let of = |pairs: &[&(Tensor, Tensor)]| largest(pairs.iter().map(|(a, b)| (a, b))).unwrap();
        assert_eq!(of(&[&large, &off, &cancels]), 4.0 / 50.0);
        assert!((of(&[&large, &cancels]) - 2e-4).abs() < 1e-9);
        let wrong = (t([f32::NAN, 1.0]), t([1.0, 1.0]));
        assert!(of(&[&wrong, &off]).is_nan() && of(&[&off, &wrong]).is_nan());
        assert!(!is_below(f64::NAN, 1.0) && !is_below(1.0, 1.0) && is_below(0.5, 1.0));
    }
}
