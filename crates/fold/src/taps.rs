//! A record of intermediate values by name, for comparison with the reference.

use candle_core::{Result, Tensor};
use nn::Update;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Collects tensors when switched on; otherwise costs nothing.
#[derive(Default)]
pub struct Taps(Option<RefCell<BTreeMap<String, Tensor>>>);

impl Taps {
    /// A record that keeps everything.
    pub fn on() -> Self {
        Self(Some(RefCell::default()))
    }

    /// A record that keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether anything is kept.
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records a copy of `value` under the name that `name` gives: updates are added in place later.
    ///
    /// # Panics  If there is no memory for the copy.
    pub fn add(&self, name: impl FnOnce() -> String, value: &Tensor) {
        if let Some(map) = &self.0 {
            let copy = value.detach().force_contiguous().expect("a copy of a tensor on the CPU");
            map.borrow_mut().insert(name(), copy);
        }
    }

    /// x + update, in the memory of `x` unless gradients are kept; the update alone is recorded.
    ///
    /// # Errors  If the operation fails.
    pub fn added(&self, name: impl FnOnce() -> String, x: Tensor, update: Update) -> Result<Tensor> {
        if self.0.is_none() {
            return update.onto(x);
        }
        let update = update.tensor()?;
        self.add(name, &update);
        x + update
    }

    /// What was recorded.
    pub fn into_map(self) -> BTreeMap<String, Tensor> {
        self.0.map(RefCell::into_inner).unwrap_or_default()
    }
}
