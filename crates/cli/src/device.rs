//! Where to compute: `--device auto|cpu|cuda[:N]`.

use crate::failure::bad_input;
use candle_core::Device;
use nn::cuda::{self, Precision};
use std::fmt;
use std::str::FromStr;

/// As given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first GPU if there is one that can be used, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU of this index.
    Cuda(usize),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected auto, cpu, cuda or cuda:N, found `{text}`");
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let index = text.strip_prefix("cuda:").ok_or_else(wrong)?;
                index.parse().map(Self::Cuda).map_err(|_| wrong())
            }
        }
    }
}

/// A device with its name for people and receipts.
pub struct Chosen {
    /// For tensors.
    pub device: Device,
    /// `cpu`, or the GPU's name.
    pub name: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl Choice {
    /// Whether a GPU is asked for by name.
    pub fn is_gpu(self) -> bool {
        matches!(self, Self::Cuda(_))
    }

    /// Opens the device; its operations compute in `precision`.
    ///
    /// # Errors  bad input, if that GPU cannot be used, with the reason.
    pub fn open(self, precision: Precision) -> anyhow::Result<Chosen> {
        let cpu = || Chosen { device: Device::Cpu, name: "cpu".into() };
        let index = match self {
            Self::Cpu => return Ok(cpu()),
            Self::Auto if cuda::usable(0).is_err() => return Ok(cpu()),
            Self::Auto => 0,
            Self::Cuda(index) => index,
        };
        let open = || Ok((cuda::usable(index)?, cuda::open(index, precision).map_err(|e| e.to_string())?));
        let (gpu, device) = open().map_err(|why: String| bad_input(format!("--device {self}: {why}")))?;
        Ok(Chosen { device, name: gpu.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_and_written() {
        for (text, choice) in [
            ("auto", Choice::Auto),
            ("cpu", Choice::Cpu),
            ("cuda", Choice::Cuda(0)),
            ("cuda:3", Choice::Cuda(3)),
        ] {
            assert_eq!(text.parse(), Ok(choice));
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        for bad in ["gpu", "cuda:", "cuda:x", "cuda:-1", ""] {
            assert!(bad.parse::<Choice>().unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_the_reason() {
        assert_eq!(Choice::Cpu.open(Precision::F32).unwrap().name, "cpu");
        let error = Choice::Cuda(4096).open(Precision::F32).err().expect("no machine has so many");
        assert!(error.to_string().starts_with("--device cuda:4096: "), "{error}");
    }
}
