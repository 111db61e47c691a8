//! Own backward passes against candle's gradient of the reference, in f32 and f64, and over threads.

use super::plain::testing::{noise, relative};
use crate::fused::{Fused, reference_backward};
use candle_core::{DType, Tensor};

fn flat(t: &Tensor) -> Vec<f32> {
    t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// ‖a − b‖ / ‖b‖ in f64, or ‖a‖ where b is zero.
fn relative64(a: &Tensor, b: &Tensor) -> f64 {
    let a = a.to_dtype(DType::F64).unwrap();
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    let (d, n) = (norm(&(a - b).unwrap()), norm(b));
    if n > 0.0 { d / n } else { d }
}

/// Gradients of `wanted` inputs: within 1e-5 of the reference's in f32 and `limit` of the one in f64 (none:
/// not compared), the same on one and two threads, and none for inputs that are not wanted. Where the
/// reference in f32 is itself off, because what is summed cancels, up to four times its error is allowed.
pub fn check_backward(op: &impl Fused, inputs: &[Tensor], wanted: &[usize], limit: Option<f64>) {
    let shape = op.shape(inputs).unwrap();
    let grad = noise(shape.dims(), 78);
    let wanted: Vec<bool> = (0..inputs.len()).map(|i| wanted.contains(&i)).collect();
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| op.backward(inputs, &grad, &wanted).unwrap())
    };
    let (got, again) = (run(1), run(2));
    let plain = reference_backward(op, inputs, &grad, &wanted).unwrap();
    let inputs64: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(DType::F64).unwrap()).collect();
    let exact = reference_backward(op, &inputs64, &grad.to_dtype(DType::F64).unwrap(), &wanted).unwrap();
    for i in 0..inputs.len() {
        let name = format!("{} {:?} input {i}", op.name(), inputs[0].dims());
        let Some(grad) = &got[i] else {
            assert!(!wanted[i], "{name}: no gradient");
            continue;
        };
        assert!(wanted[i], "{name}: a gradient nobody wants");
        assert_eq!(grad.dims(), inputs[i].dims(), "{name}");
        assert_eq!(flat(grad), flat(again[i].as_ref().unwrap()), "{name}: depends on the threads");
        let (a, b) = (flat(grad), flat(plain[i].as_ref().unwrap()));
        assert!(a.iter().all(|v| v.is_finite()), "{name}: not finite");
        // Where the true gradient is zero both are rounding.
        let exact = exact[i].as_ref().unwrap();
        if flat(exact).iter().all(|v| v.abs() < 1e-12) {
            assert!(a.iter().all(|v| v.abs() < 1e-3), "{name}: not zero");
            continue;
        }
        let mut most = 1e-5;
        if let Some(limit) = limit {
            let unavoidable = 4.0 * relative64(plain[i].as_ref().unwrap(), exact);
            most = unavoidable.max(most);
            let error = relative64(grad, exact);
            assert!(error <= unavoidable.max(limit), "{name}: {error:e} from f64, {unavoidable:e} allowed");
        }
        let error = relative(&a, &b);
        assert!(error <= most, "{name}: {error:e} from the reference in f32");
    }
}
