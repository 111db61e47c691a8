//! What happens at named places on the way through the network: intermediate values are recorded, for comparison with the
//! reference, and in training some are left out.

use crate::config::Dropout as Rate;
use crate::dropout::Dropout;
use candle_core::{Result, Tensor};
use nn::Update;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Collects tensors and drops values where it is told to; otherwise costs nothing.
#[derive(Default)]
pub struct Taps {
    record: Option<RefCell<BTreeMap<String, Tensor>>>,
    dropout: Option<Dropout>,
}

impl Taps {
    /// A record that keeps everything.
    pub fn on() -> Self {
        Self { record: Some(RefCell::default()), dropout: None }
    }

    /// A record that keeps nothing.
    pub fn off() -> Self {
        Self::default()
    }

    /// No record, but values left out as training does.
    pub fn training(dropout: Option<Dropout>) -> Self {
        Self { record: None, dropout }
    }

    /// Whether anything is kept.
    pub fn are_on(&self) -> bool {
        self.record.is_some()
    }

    /// Records a copy of `value` under the name that `name` gives: updates are added in place later.
    ///
    /// # Panics  If there is no memory for the copy.
    pub fn add(&self, name: impl FnOnce() -> String, value: &Tensor) {
        if let Some(map) = &self.record {
            let copy = value.detach().force_contiguous().expect("a copy of a tensor on the CPU");
            map.borrow_mut().insert(name(), copy);
        }
    }

    /// x + update, in the memory of `x` unless gradients are kept; the update alone is recorded.
    ///
    /// # Errors  If the operation fails.
    pub fn added(&self, name: impl FnOnce() -> String, x: Tensor, update: Update) -> Result<Tensor> {
        if self.record.is_none() {
            return update.onto(x);
        }
        let update = update.tensor()?;
        self.add(name, &update);
        x + update
    }

    /// The same with a share of the update left out.
    ///
    /// # Errors  If the operation fails.
    pub(crate) fn dropped(
        &self,
        name: impl FnOnce() -> String,
        rate: Rate,
        x: Tensor,
        update: Update,
    ) -> Result<Tensor> {
        match &self.dropout {
            Some(dropout) if rate.rate > 0.0 => x + dropout.apply(&name(), rate, &update.tensor()?)?,
            _ => self.added(name, x, update),
        }
    }

    /// `x` with a share of its values left out.
    ///
    /// # Errors  If the operation fails.
    pub(crate) fn thinned(&self, name: impl FnOnce() -> String, rate: Rate, x: Tensor) -> Result<Tensor> {
        match &self.dropout {
            Some(dropout) if rate.rate > 0.0 => dropout.apply(&name(), rate, &x),
            _ => Ok(x),
        }
    }

    /// What was recorded.
    pub fn into_map(self) -> BTreeMap<String, Tensor> {
        self.record.map(RefCell::into_inner).unwrap_or_default()
    }
}
