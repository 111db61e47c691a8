//! Gradients of leaves, kept beside candle's store.
//!
//! To every input of an operation that is on the tape, candle clears a tensor and adds the gradient to it, and an operation of more than
//! three inputs needs links (see [`super::tape`]), each with a gradient of its own. Most inputs are parameters, which end the tape: their
//! gradients need neither.

use crate::cuda;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, TensorId, Var};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Gradients of leaves that operations of some part of a program leave here. Clones are the same. While there are some, and until
/// gradients are taken, copies of parameters that these operations make on a GPU are kept, so parameters must not change.
#[derive(Clone, Default)]
pub struct Leaves(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// Leaves and their gradients.
    grads: HashMap<TensorId, (Tensor, Tensor)>,
    /// What the tape of an operation begins with, all of whose inputs are leaves.
    start: Option<Tensor>,
    /// GPUs that the operations ran on.
    devices: Vec<Device>,
}

impl Kept {
    /// Ends what is kept of parameters.
    fn forget(&mut self) {
        self.devices.drain(..).for_each(|device| cuda::forget(&device));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.forget();
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Leaves>> = const { RefCell::new(None) };
}

/// Puts back what was current before, also where a panic passes.
struct Back(Option<Leaves>);

impl Drop for Back {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Leaves {
    /// Runs `f`. Operations of this crate that it runs on this thread will leave gradients of their leaves here when the tape is walked
    /// back, and none with candle: of a loss made so, take them by [`Leaves::backward`].
    pub fn over<T>(&self, f: impl FnOnce() -> T) -> T {
        let _back = Back(CURRENT.replace(Some(self.clone())));
        f()
    }

    /// Gradients of `loss`, those of leaves among them, which are gone from here.
    ///
    /// # Errors  If an operation fails.
    pub fn backward(&self, loss: &Tensor) -> Result<GradStore> {
        let mut grads = loss.backward()?;
        self.take_into(&mut grads)?;
        Ok(grads)
    }

    /// Adds what was left here to `grads`.
    pub(crate) fn take_into(&self, grads: &mut GradStore) -> Result<()> {
        let kept = {
            let mut kept = self.kept();
            kept.forget();
            std::mem::take(&mut kept.grads)
        };
        for (leaf, grad) in kept.into_values() {
            let sum = match grads.remove(&leaf) {
                Some(before) => (before + grad)?,
                None => grad,
            };
            grads.insert(&leaf, sum);
        }
        Ok(())
    }

    /// Those that are current on this thread.
    pub(super) fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// An operation makes copies of parameters on `device`.
    pub(super) fn are_used_on(&self, device: &Device) {
        let devices = &mut self.kept().devices;
        if !devices.iter().any(|d| d.same_device(device)) {
            devices.push(device.clone());
        }
    }

    /// Adds to the gradient of a leaf.
    pub(super) fn add(&self, leaf: &Tensor, grad: Tensor) -> Result<()> {
        let mut kept = self.kept();
        let sum = match kept.grads.remove(&leaf.id()) {
            Some((_, before)) => (before + grad)?,
            None => grad,
        };
        kept.grads.insert(leaf.id(), (leaf.clone(), sum.detach()));
        Ok(())
    }

    /// A leaf that gets no gradient.
    pub(super) fn start(&self, device: &Device) -> Result<Tensor> {
        let mut kept = self.kept();
        if let Some(start) = kept.start.as_ref().filter(|t| t.device().same_device(device)) {
            return Ok(start.clone());
        }
        let start = Var::zeros(1, DType::F32, device)?.into_inner();
        kept.start = Some(start.clone());
        Ok(start)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().expect("no panic while held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{layer_norm, linear_update};
    use crate::segments::tests::{bits, var};

    /// Parameters used twice, an operation on leaves alone, one whose input is computed, and a leaf that candle's own operations read.
    fn loss(v: &[Tensor]) -> Tensor {
        let a = layer_norm(&v[0], &v[1], &v[2]).tensor().unwrap();
        let b = layer_norm(&(&a * 2.0).unwrap(), &v[1], &v[2]).onto(a).unwrap();
        let c = linear_update(&b, &v[3], Some(&v[2])).onto(b.clone()).unwrap();
        (c * &v[0]).unwrap().sqr().unwrap().sum_all().unwrap()
    }

    #[test]
    fn gradients_are_the_tapes() {
        let v = [var(&[3, 5], 1.0), var(&[5], 0.1), var(&[5], 0.2), var(&[5, 5], 0.3)];
        let plain = loss(&v).backward().unwrap();
        let leaves = Leaves::default();
        let total = leaves.over(|| loss(&v));
        let ours = leaves.backward(&total).unwrap();
        for (i, t) in v.iter().enumerate() {
            let (a, b) = (plain.get(t).unwrap(), ours.get(t).unwrap());
            let off = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(off < 1e-5, "{i}: {off}");
            // The input's two gradients come from two sides; those of parameters add up in the tape's order.
            if i > 0 {
                assert_eq!(bits(a), bits(b), "{i}");
            }
        }
        assert_eq!(ours.get_ids().count(), 4);
        // Nothing is left, and the next tape is candle's.
        assert!(leaves.kept().grads.is_empty() && Leaves::current().is_none());
        let again = loss(&v).backward().unwrap();
        assert_eq!(bits(plain.get(&v[3]).unwrap()), bits(again.get(&v[3]).unwrap()));
    }

    #[test]
    fn a_panic_ends_it() {
        let failed = std::panic::catch_unwind(|| Leaves::default().over(|| panic!("no")));
        assert!(failed.is_err() && Leaves::current().is_none());
    }
}
