//! What the kernels of an operation need of a machine: memory, launches, matrix products.
//!
//! A GPU is one (`gpu.rs`, with the feature `cuda`); the tests have another, which runs the kernels on the CPU.

use candle_core::{Result, Tensor};
use std::any::Any;

/// Number type of weights and of what passes between the kernels of an operation; the representations are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// bf16 products, f32 sums.
    Bf16,
    /// Products of two bf16 parts each in our kernels, f32 products in the library's; f32 sums.
    F32,
}

impl Precision {
    /// As kernels are named.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }

    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// In how many bf16 parts a value enters a product: P in `kernels/README.md`.
    pub(super) fn parts(self) -> usize {
        self.bytes() / 2
    }
}

/// Memory of the machine, free again when this is dropped and the work given before that is done.
pub struct Memory {
    /// Where it begins; aligned to 16 bytes.
    pub address: u64,
    _owner: Box<dyn Any>,
}

impl Memory {
    /// Memory at `address` that lives as long as `owner`.
    pub fn new(address: u64, owner: impl Any) -> Self {
        Self { address, _owner: Box::new(owner) }
    }
}

/// A kernel and how it is launched.
pub struct Launch {
    /// Stem of its file in `kernels/`.
    pub file: &'static str,
    /// Its name there.
    pub kernel: String,
    /// Blocks of the one-dimensional grid; where blocks take tiles in turn, the tiles there are.
    pub blocks: usize,
    /// Whether blocks take tiles in turn, so that no more are needed than run at once.
    pub turns: bool,
    /// Threads of a block.
    pub threads: usize,
    /// Dynamic shared memory of a block, bytes.
    pub shared: usize,
}

/// out\[i, j\] = Σ_k a\[i, k\]·b\[j, k\] for `batch` of them; rows of all three lie `row` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Products {
    /// Rows of `a` and `out`, rows of `b` and columns of `out`, summed length.
    pub m: usize,
    /// See `m`.
    pub n: usize,
    /// See `m`.
    pub k: usize,
    /// Whether a and b are stored `[k, m]` and `[k, n]` instead.
    pub by_columns: bool,
    /// Address, elements from row to row, elements from one of the batch to the next.
    pub a: (u64, usize, usize),
    /// As `a`.
    pub b: (u64, usize, usize),
    /// As `a`; what lies between rows is not written.
    pub out: (u64, usize, usize),
    /// How many.
    pub batch: usize,
}

/// A GPU, or what stands in for one. Work is done in the order in which it is given.
pub trait Machine {
    /// Number type of weights and intermediate values.
    fn precision(&self) -> Precision;

    /// Multiprocessors.
    fn processors(&self) -> usize;

    /// Shared memory that one block can have, bytes.
    fn shared(&self) -> usize;

    /// Memory for `bytes` bytes, with anything in it.
    ///
    /// # Errors  If there is not so much.
    fn memory(&self, bytes: usize) -> Result<Memory>;

    /// Where the values of a contiguous f32 tensor lie.
    ///
    /// # Errors  If it is not one, or not on this machine.
    fn address(&self, t: &Tensor) -> Result<u64>;

    /// The values of `tensors` one after the other, as `precision`. With `keep`, made once for tensors that never change.
    ///
    /// # Errors  As [`Machine::memory`] and [`Machine::address`].
    fn packed(&self, tensors: &[&Tensor], precision: Precision, keep: bool) -> Result<Memory>;

    /// What `make` puts into `bytes` bytes for `key`, kept until it is asked for with another key.
    ///
    /// # Errors  Those of `make`, or if there is no memory.
    fn derived(&self, key: &Tensor, bytes: usize, make: &mut dyn FnMut(u64) -> Result<()>) -> Result<Memory>;

    /// Launches a kernel.
    ///
    /// # Safety
    /// `arguments` points to the struct that this kernel takes, whose addresses are valid for what the kernel does.
    ///
    /// # Errors  If it cannot be launched.
    unsafe fn launch(&self, launch: &Launch, arguments: *const u8, size: usize) -> Result<()>;

    /// Matrix products in [`Machine::precision`] with f32 sums.
    ///
    /// # Safety
    /// The addresses are valid for these sizes.
    ///
    /// # Errors  If they cannot be made.
    unsafe fn products(&self, p: &Products) -> Result<()>;
}
