//! Gradients of the loss under AlphaFold's parameter names.

use anyhow::{Context, Result};
use candle_core::{Tensor, Var};
use fold::names::{Heads, to_alphafold};
use nn::files::{Array, Arrays};
use std::collections::BTreeMap;

/// candle walks the tape by recursion: this is enough for networks of full depth.
const STACK: usize = 1 << 30;

/// `gradients/SCOPE//NAME` for every parameter; zero where the loss does not depend on it.
pub fn gradients(loss: &Tensor, vars: &BTreeMap<String, Var>, heads: &Heads) -> Result<Arrays> {
    let grads = std::thread::scope(|s| {
        let worker = std::thread::Builder::new().stack_size(STACK).spawn_scoped(s, || loss.backward());
        worker
            .context("starting the backward pass")
            .map(|w| w.join().map_err(|_| anyhow::anyhow!("the backward pass failed")))
    })???;
    let mut ours = Arrays::new();
    for (name, var) in vars {
        let flat = match grads.get(var.as_tensor()) {
            Some(g) => g.flatten_all()?.to_vec1::<f32>()?,
            None => vec![0.0; var.elem_count()],
        };
        ours.insert(name.clone(), Array::from_f32(var.dims(), &flat));
    }
    let named = to_alphafold(&ours, heads)?;
    Ok(named.into_iter().map(|(name, a)| (format!("gradients/{name}"), a)).collect())
}
