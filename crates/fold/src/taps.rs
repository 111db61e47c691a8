//! A record of intermediate values by name, for comparison with the reference.

use candle_core::Tensor;
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

    /// Records `value` under the name that `name` gives.
    pub fn add(&self, name: impl FnOnce() -> String, value: &Tensor) {
        if let Some(map) = &self.0 {
            map.borrow_mut().insert(name(), value.detach());
        }
    }

    /// What was recorded.
    pub fn into_map(self) -> BTreeMap<String, Tensor> {
        self.0.map(RefCell::into_inner).unwrap_or_default()
    }
}
