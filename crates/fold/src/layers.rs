//! Linear layers and layer norms with their parameters.

use candle_core::{Result as Tensors, Tensor};
use nn::{Params, Update, ops};

/// y = x·Wᵀ + b.
pub struct Linear {
    /// `[out, in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Tensor,
}

impl Linear {
    /// Parameters `weight` and `bias` below `p`.
    pub fn load(p: &Params, inner: usize, out: usize) -> nn::Result<Self> {
        Ok(Self { weight: p.get("weight", &[out, inner])?, bias: p.get("bias", &[out])? })
    }

    /// Weight and bias, as the fused operations take them.
    pub fn pair(&self) -> (&Tensor, &Tensor) {
        (&self.weight, &self.bias)
    }

    /// `x` `[.., in]` → `[.., out]`.
    pub fn forward(&self, x: &Tensor) -> Tensors<Tensor> {
        ops::linear(x, &self.weight, Some(&self.bias))
    }

    /// As [`Linear::forward`], to be added to something.
    pub fn update(&self, x: &Tensor) -> Update {
        ops::linear_update(x, &self.weight, Some(&self.bias))
    }

    /// As [`Linear::forward`], then ReLU.
    pub fn relu(&self, x: &Tensor) -> Tensors<Tensor> {
        ops::linear_relu(x, &self.weight, Some(&self.bias))
    }
}

/// Layer norm over the last dimension.
pub struct Norm {
    scale: Tensor,
    offset: Tensor,
}

impl Norm {
    /// Parameters `weight` and `bias` below `p`.
    pub fn load(p: &Params, c: usize) -> nn::Result<Self> {
        Ok(Self { scale: p.get("weight", &[c])?, offset: p.get("bias", &[c])? })
    }

    /// Scale and offset, as the fused operations take them.
    pub fn pair(&self) -> (&Tensor, &Tensor) {
        (&self.scale, &self.offset)
    }

    /// `x` `[.., c]`.
    pub fn forward(&self, x: &Tensor) -> Tensors<Tensor> {
        ops::layer_norm(x, &self.scale, &self.offset).tensor()
    }
}
