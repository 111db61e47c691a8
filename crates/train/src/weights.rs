//! Trainable parameters by name.

use crate::config::Matrices;
use crate::error::{Error, Result};
use candle_core::{CpuStorage, DType, Device, InplaceOp1, Layout, Storage, Tensor, Var};
use std::collections::BTreeMap;

/// Trainable parameters by name: f32 masters on the CPU or a GPU.
pub struct Weights {
    vars: BTreeMap<String, Var>,
    device: Device,
}

impl Weights {
    /// Parameters that begin as `tensors`, which are copied to f32. All lie on one device.
    ///
    /// # Errors  If there are none, or they lie on different devices.
    pub fn new(tensors: BTreeMap<String, Tensor>) -> Result<Self> {
        let Some(device) = tensors.values().next().map(|t| t.device().clone()) else {
            return Err(Error::config("weights", "at least one parameter", "none"));
        };
        let mut vars = BTreeMap::new();
        for (name, tensor) in tensors {
            if !tensor.device().same_device(&device) {
                return Err(Error::config(name, "all parameters on one device", "two"));
            }
            // A copy of its own, contiguous: training must not write into what it was started from.
            let copy = tensor.detach().to_dtype(DType::F32)?.force_contiguous()?;
            vars.insert(name, Var::from_tensor(&copy)?);
        }
        Ok(Self { vars, device })
    }

    /// The parameters on the tape, in the memory the trainer updates: a network built from them once stays current.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect()
    }

    /// The same with matrices as `matrices` says. Working copies are casts on the tape, so their gradients go to the
    /// masters; they are of the moment, and must be made again after an update. The trainer hands fresh ones to every step
    /// in [`crate::StepCtx::weights`]. On a GPU there are none: its operations round what they are given.
    ///
    /// # Errors  If a cast fails.
    pub fn working(&self, matrices: Matrices) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = self.tensors();
        if matrices == Matrices::Bf16 && self.device.is_cpu() {
            for tensor in tensors.values_mut().filter(|t| t.rank() == 2) {
                *tensor = tensor.to_dtype(DType::BF16)?;
            }
        }
        Ok(tensors)
    }

    /// One parameter.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.vars.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.vars.keys().map(String::as_str)
    }

    /// Names and shapes, in order.
    pub fn shapes(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        self.vars.iter().map(|(name, var)| (name.clone(), var.dims().to_vec()))
    }

    /// Elements of all parameters.
    pub fn elements(&self) -> usize {
        self.vars.values().map(|v| v.elem_count()).sum()
    }

    /// Where they lie.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn vars(&self) -> impl Iterator<Item = &Var> {
        self.vars.values()
    }

    /// All values in one vector, in the order of names.
    pub(crate) fn flat(&self) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(self.elements());
        for var in self.vars.values() {
            with_values(var.as_tensor(), |values| flat.extend_from_slice(values))?;
        }
        Ok(flat)
    }

    /// Sets all values from one vector.
    pub(crate) fn store(&self, flat: &[f32]) -> Result<()> {
        let mut start = 0;
        for var in self.vars.values() {
            let values = &flat[start..start + var.elem_count()];
            start += values.len();
            if self.device.is_cpu() {
                var.inplace_op1(&Copy(values))?;
            } else {
                var.set(&Tensor::from_slice(values, var.shape(), &self.device)?)?;
            }
        }
        Ok(())
    }
}

/// Tensors of the layout of `weights` with the values of `flat`, on their device and off the tape.
pub(crate) fn plain(weights: &Weights, flat: &[f32]) -> Result<BTreeMap<String, Tensor>> {
    let mut start = 0;
    weights
        .vars
        .iter()
        .map(|(name, var)| {
            let values = &flat[start..start + var.elem_count()];
            start += values.len();
            Ok((name.clone(), Tensor::from_slice(values, var.shape(), &weights.device)?))
        })
        .collect()
}

/// Calls `f` with the values of an f32 tensor, without a copy where they lie in a row on the CPU.
pub(crate) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    {
        let (storage, layout) = tensor.storage_and_layout();
        if let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) =
            (&*storage, layout.contiguous_offsets())
        {
            return Ok(f(&values[start..end]));
        }
    }
    Ok(f(&tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?))
}

/// Values written into a parameter's own memory.
struct Copy<'a>(&'a [f32]);

impl InplaceOp1 for Copy<'_> {
    fn name(&self) -> &'static str {
        "store parameter"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("store parameter: expected f32");
        };
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("store parameter: expected elements in a row");
        };
        values[start..end].copy_from_slice(self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_built_once_sees_updates() {
        let start = Tensor::new(&[[1f32, 2., 3.], [4., 5., 6.]], &Device::Cpu).unwrap();
        let bias = Tensor::new(&[7f32, 8.], &Device::Cpu).unwrap();
        let weights =
            Weights::new(BTreeMap::from([("w".into(), start.t().unwrap()), ("b".into(), bias)])).unwrap();
        assert_eq!(weights.flat().unwrap(), [7., 8., 1., 4., 2., 5., 3., 6.]);
        let tensors = weights.tensors();
        let new: Vec<f32> = (0..8).map(|v| v as f32).collect();
        weights.store(&new).unwrap();
        assert_eq!(tensors["w"].to_vec2::<f32>().unwrap(), [[2., 3.], [4., 5.], [6., 7.]]);
        assert_eq!(weights.flat().unwrap(), new);
        assert_eq!(start.to_vec2::<f32>().unwrap()[0], [1., 2., 3.]);
    }

    #[test]
    fn gradients_of_working_copies_reach_the_masters() {
        let w = Tensor::new(&[[1f32, 2.], [3., 1.0 + 1.0 / 1024.0], [0.5, 0.25]], &Device::Cpu).unwrap();
        let weights = Weights::new(BTreeMap::from([("w".into(), w)])).unwrap();
        let working = weights.working(Matrices::Bf16).unwrap().remove("w").unwrap();
        assert_eq!(working.dtype(), DType::BF16);
        let loss = working.to_dtype(DType::F32).unwrap().sqr().unwrap().sum_all().unwrap();
        let grads = loss.backward().unwrap();
        let got = grads.get(weights.get("w").unwrap().as_tensor()).unwrap();
        assert_eq!(got.dtype(), DType::F32);
        // 1 + 2⁻¹⁰ is rounded to 1 in the copy, and kept in the master.
        assert_eq!(got.to_vec2::<f32>().unwrap(), [[2., 4.], [6., 2.], [1., 0.5]]);
        assert_eq!(weights.flat().unwrap()[3], 1.0 + 1.0 / 1024.0);
    }
}
