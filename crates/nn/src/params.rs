//! The parameters of a network by name, handed out strictly: every tensor once, every shape checked.

use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Named parameters with a current path. `sub` goes down one level; clones share the record of use.
#[derive(Clone)]
pub struct Params {
    store: Arc<Store>,
    path: String,
    /// Numbers in which matrices are handed out.
    matrices: DType,
}

struct Store {
    tensors: BTreeMap<String, Tensor>,
    record: Mutex<Record>,
    /// Makes what is asked for; `None` where parameters are given.
    maker: Option<Box<Maker>>,
}

/// Makes a parameter from its full name and shape.
type Maker = dyn Fn(&str, &[usize]) -> Result<Tensor> + Send + Sync;

#[derive(Default)]
struct Record {
    used: BTreeSet<String>,
    made: BTreeMap<String, Tensor>,
    elements: usize,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

impl Params {
    /// All parameters of one network, by full path.
    pub fn new(tensors: BTreeMap<String, Tensor>) -> Self {
        let store = Store { tensors, record: Mutex::default(), maker: None };
        Self { store: Arc::new(store), path: String::new(), matrices: DType::F32 }
    }

    /// Whatever is asked for, as noise scaled by 1/√inputs: a network to time, or to start training from.
    pub fn made_up(seed: u64, device: &Device) -> Self {
        let device = device.clone();
        Self::made_by(move |name, shape| noise(name, shape, seed, &device))
    }

    /// Whatever is asked for, as `maker` makes it from the full name and the shape.
    pub fn made_by(maker: impl Fn(&str, &[usize]) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        let store =
            Store { tensors: BTreeMap::new(), record: Mutex::default(), maker: Some(Box::new(maker)) };
        Self { store: Arc::new(store), path: String::new(), matrices: DType::F32 }
    }

    /// Every parameter that was made, f32, by full name.
    pub fn made(&self) -> BTreeMap<String, Tensor> {
        self.store.record.lock().expect("no panic while held").made.clone()
    }

    /// The parameters below `name`.
    pub fn sub(&self, name: impl std::fmt::Display) -> Self {
        Self { path: self.full(&name.to_string()), ..self.clone() }
    }

    /// The same parameters, matrices in `dtype`, all else in f32.
    pub fn matrices_in(&self, dtype: DType) -> Self {
        Self { matrices: dtype, ..self.clone() }
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether a parameter of that name exists here.
    pub fn has(&self, name: &str) -> bool {
        self.store.tensors.contains_key(&self.full(name))
    }

    /// The tensor `name` of exactly this shape: f32, or what [`Params::matrices_in`] said if it is a matrix. A missing or misshapen one is recorded and
    /// stood in for by zeros, so that [`Params::finish`] can list all faults at once.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let full = self.full(name);
        let mut record = self.store.record.lock().expect("no panic while held");
        record.elements += shape.iter().product::<usize>();
        let dtype = if shape.len() == 2 { self.matrices } else { DType::F32 };
        if let Some(make) = &self.store.maker {
            let t = make(&full, shape)?;
            record.made.insert(full, t.clone());
            return Ok(t.to_dtype(dtype)?);
        }
        match self.store.tensors.get(&full) {
            Some(t) if t.dims() == shape => {
                record.used.insert(full);
                // A cast to what it is keeps the tensor, and with it the gradient's identity.
                Ok(t.to_dtype(dtype)?)
            }
            Some(t) => {
                record.misshapen.push(format!("{full}: expected {shape:?}, got {:?}", t.dims()));
                record.used.insert(full);
                Ok(Tensor::zeros(shape, DType::F32, &Device::Cpu)?)
            }
            None => {
                record.missing.push(format!("{full} {shape:?}"));
                Ok(Tensor::zeros(shape, DType::F32, &Device::Cpu)?)
            }
        }
    }

    /// Elements of all tensors handed out so far.
    pub fn elements(&self) -> usize {
        self.store.record.lock().expect("no panic while held").elements
    }

    /// Checks that every tensor was used and none was missing or misshapen.
    ///
    /// # Errors  Lists the missing, misshapen and surplus names.
    pub fn finish(&self) -> Result<()> {
        let record = self.store.record.lock().expect("no panic while held");
        let surplus: Vec<String> = self
            .store
            .tensors
            .iter()
            .filter(|(name, _)| !record.used.contains(*name))
            .map(|(name, t)| format!("{name} {:?}", t.dims()))
            .collect();
        if record.missing.is_empty() && record.misshapen.is_empty() && surplus.is_empty() {
            return Ok(());
        }
        let mut text = format!(
            "parameters do not fit the network: {} missing, {} of the wrong shape, {} surplus",
            record.missing.len(),
            record.misshapen.len(),
            surplus.len()
        );
        for (title, list) in
            [("missing", &record.missing), ("wrong shape", &record.misshapen), ("surplus", &surplus)]
        {
            for item in list.iter().take(LISTED) {
                text.push_str(&format!("\n  {title}: {item}"));
            }
            if list.len() > LISTED {
                text.push_str(&format!("\n  {title}: … and {} more", list.len() - LISTED));
            }
        }
        Err(Error::Params(text))
    }
}

/// Uniform noise of variance 1/inputs, seeded by name; around 1 for the scale of a layer norm.
fn noise(name: &str, shape: &[usize], seed: u64, device: &Device) -> Result<Tensor> {
    let mut state = name.bytes().fold(seed | 1, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let centre = if shape.len() == 1 && name.ends_with("weight") { 1.0 } else { 0.0 };
    let spread = if shape.len() == 1 { 0.1 } else { (3.0 / shape[1] as f32).sqrt() };
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            centre + spread * ((state >> 40) as f32 / (1u32 << 23) as f32 - 1.0)
        })
        .collect();
    Ok(Tensor::from_vec(values, shape, device)?)
}

/// How many names of each kind an error lists.
const LISTED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Params {
        let t = |s: &[usize]| Tensor::ones(s, DType::F32, &Device::Cpu).unwrap();
        Params::new(BTreeMap::from([
            ("a.weight".into(), t(&[2, 3])),
            ("a.bias".into(), t(&[5])),
            ("b".into(), t(&[7])),
        ]))
    }

    #[test]
    fn every_fault_is_listed() {
        let p = store();
        p.sub("a").get("weight", &[3, 2]).unwrap();
        p.sub("a").get("bias", &[5]).unwrap();
        p.get("c", &[1]).unwrap();
        let text = p.finish().unwrap_err().to_string();
        assert!(text.contains("1 missing, 1 of the wrong shape, 1 surplus"), "{text}");
        assert!(text.contains("a.weight: expected [3, 2], got [2, 3]"), "{text}");
        assert!(text.contains("surplus: b [7]") && text.contains("missing: c [1]"), "{text}");
    }

    #[test]
    fn exact_use_passes() {
        let p = store();
        p.sub("a").get("weight", &[2, 3]).unwrap();
        p.sub("a").get("bias", &[5]).unwrap();
        p.get("b", &[7]).unwrap();
        p.finish().unwrap();
    }
}
