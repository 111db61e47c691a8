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

/// How long copies of parameters, rounded or joined, are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Not at all.
    No,
    /// Until [`Machine::forget`]: parameters do not change between a loss and its gradients.
    ForLoss,
    /// For good: the parameters never change.
    Always,
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

/// A factor of matrix products: for each i a row of k values, or for each k a row of them for all i.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    /// Where it begins.
    pub address: u64,
    /// Elements from row to row.
    pub row: usize,
    /// Elements from one of the batch to the next.
    pub step: usize,
    /// Whether it is stored `[k, i]`, else `[i, k]`.
    pub by_columns: bool,
}

impl Factor {
    /// Stored `[i, k]`, one of them.
    pub fn by_rows(address: u64, row: usize) -> Self {
        Self { address, row, step: 0, by_columns: false }
    }

    /// Stored `[k, i]`, one of them.
    pub fn by_columns(address: u64, row: usize) -> Self {
        Self { by_columns: true, ..Self::by_rows(address, row) }
    }
}

/// Where the results of matrix products go.
#[derive(Clone, Copy, Debug)]
pub struct Results {
    /// Where they begin.
    pub address: u64,
    /// Elements from row to row; what lies between rows is not written.
    pub row: usize,
    /// Elements from one of the batch to the next.
    pub step: usize,
    /// Their number type.
    pub precision: Precision,
    /// Whether they are added to what is there.
    pub add: bool,
}

impl Results {
    /// One matrix that is not added to.
    pub fn new(address: u64, row: usize, precision: Precision) -> Self {
        Self { address, row, step: 0, precision, add: false }
    }
}

/// out\[i, j\] = scale·Σ_k a\[i, k\]·b\[j, k\] for `batch` of them.
#[derive(Clone, Copy, Debug)]
pub struct Products {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Summed length.
    pub k: usize,
    /// First factor.
    pub a: Factor,
    /// Second factor.
    pub b: Factor,
    /// Number type of both factors.
    pub precision: Precision,
    /// The result.
    pub out: Results,
    /// What the sums are multiplied with.
    pub scale: f32,
    /// How many.
    pub batch: usize,
}

impl Products {
    /// One product of factors in `precision`, of `m` rows, `n` columns and summed length `k`.
    pub fn new(
        (m, n, k): (usize, usize, usize),
        a: Factor,
        b: Factor,
        precision: Precision,
        out: Results,
    ) -> Self {
        Self { m, n, k, a, b, precision, out, scale: 1.0, batch: 1 }
    }

    /// As many, each `steps` elements of a, b and the result after the one before.
    pub fn batch(mut self, batch: usize, steps: [usize; 3]) -> Self {
        (self.batch, self.a.step, self.b.step, self.out.step) = (batch, steps[0], steps[1], steps[2]);
        self
    }
}

/// A GPU, or what stands in for one. Work is done in the order in which it is given.
pub trait Machine {
    /// Number type of weights and intermediate values.
    fn precision(&self) -> Precision;

    /// Multiprocessors.
    fn processors(&self) -> usize;

    /// Shared memory that one block can have, bytes.
    fn shared(&self) -> usize;

    /// Bytes of intermediate values that are made at a time where an operation goes in parts: they stay in the GPU's cache.
    fn part(&self) -> usize;

    /// Bytes of intermediate values that an operation may hold at a time, if it can go in parts: set where a plan says that not all fit.
    fn room(&self) -> usize {
        usize::MAX
    }

    /// Memory for `bytes` bytes, with anything in it.
    ///
    /// # Errors  If there is not so much.
    fn memory(&self, bytes: usize) -> Result<Memory>;

    /// Where the values of a contiguous f32 tensor lie.
    ///
    /// # Errors  If it is not one, or not on this machine.
    fn address(&self, t: &Tensor) -> Result<u64>;

    /// The values of `tensors` one after the other, as `precision`; made once while they are kept.
    ///
    /// # Errors  As [`Machine::memory`] and [`Machine::address`].
    fn packed(&self, tensors: &[&Tensor], precision: Precision, keep: Keep) -> Result<Memory>;

    /// Ends what is kept [`Keep::ForLoss`].
    fn forget(&self) {}

    /// What `make` puts into `bytes` bytes for `key`, kept until it is asked for with another key.
    ///
    /// # Errors  Those of `make`, or if there is no memory.
    fn derived(&self, key: &Tensor, bytes: usize, make: &mut dyn FnMut(u64) -> Result<()>) -> Result<Memory>;

    /// Copies `bytes` bytes.
    ///
    /// # Safety
    /// The addresses are valid for so many, and do not overlap.
    ///
    /// # Errors  If it cannot be done.
    unsafe fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<()>;

    /// Blocks that this launch gets: fewer than [`Launch::blocks`] where they take tiles in turn.
    ///
    /// # Errors  If there is no such kernel.
    fn blocks(&self, launch: &Launch) -> Result<usize>;

    /// Launches a kernel.
    ///
    /// # Safety
    /// `arguments` points to the struct that this kernel takes, whose addresses are valid for what the kernel does.
    ///
    /// # Errors  If it cannot be launched.
    unsafe fn launch(&self, launch: &Launch, arguments: *const u8, size: usize) -> Result<()>;

    /// Matrix products with f32 sums, in an order that depends on the sizes alone.
    ///
    /// # Safety
    /// The addresses are valid for these sizes.
    ///
    /// # Errors  If they cannot be made.
    unsafe fn products(&self, p: &Products) -> Result<()>;
}
