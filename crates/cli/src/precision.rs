//! `--dtype`: what the matrix products of the Evoformer, extra-MSA and template stacks take.

use candle_core::DType;

/// Numbers of the stacks; embedders, structure module, heads, sums, softmax and layer norms are f32 in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// f32
    F32,
    /// bf16: rounded weights, and rounded factors where the CPU multiplies bf16; half the memory for them
    Bf16,
}

impl Precision {
    /// As in the receipt.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// Of the stacks' matrices.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// What operations on a GPU compute in.
    pub fn on_gpu(self) -> nn::cuda::Precision {
        match self {
            Self::F32 => nn::cuda::Precision::F32,
            Self::Bf16 => nn::cuda::Precision::Bf16,
        }
    }

    /// GFLOP/s one core can reach with such factors.
    pub fn peak(self) -> f64 {
        let number = match self {
            Self::F32 => nn::cpu::Number::F32,
            Self::Bf16 => nn::cpu::Number::bf16_if_fast(),
        };
        nn::cpu::fma_peak(number, 5)
    }
}
