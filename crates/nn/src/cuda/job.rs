//! One operation to be done on a machine: its inputs' addresses, where the result goes, and launches with typed arguments.

use super::arguments::Arguments;
use super::geometry::{Needs, Rows};
use super::machine::{Keep, Launch, Machine, Memory, Precision, Products};
use candle_core::{Result, Tensor};

/// Most rows, columns or blocks: kernels count them in 32 bits.
const MOST: usize = i32::MAX as usize;

/// An operation's inputs and result on a machine.
pub struct Job<'a> {
    pub(super) machine: &'a dyn Machine,
    pub(super) inputs: &'a [Tensor],
    addresses: Vec<u64>,
    /// Where the result goes.
    pub(super) out: u64,
    /// What it is added to: `out`, or null.
    pub(super) residual: u64,
    keep: Keep,
}

impl<'a> Job<'a> {
    /// The result of `inputs` is put to `out`, or added to what is there. `keep`: those behind the first are
    /// parameters that never change, whose rounded copies are kept.
    ///
    /// # Errors  If an input is no contiguous f32 tensor of the machine.
    pub fn new(
        machine: &'a dyn Machine,
        inputs: &'a [Tensor],
        out: u64,
        adds: bool,
        keep: Keep,
    ) -> Result<Self> {
        let addresses = inputs.iter().map(|t| machine.address(t)).collect::<Result<_>>()?;
        Ok(Self { machine, inputs, addresses, out, residual: if adds { out } else { 0 }, keep })
    }

    /// The first input's values lie at `address`, as where the result is added to it in its own memory.
    pub fn first_at(mut self, address: u64) -> Self {
        self.addresses[0] = address;
        self
    }

    /// The operation on the first `n` of these inputs, its result added to what is where the result goes.
    pub(crate) fn added(&self, n: usize) -> Self {
        let Self { machine, inputs, out, keep, .. } = *self;
        Self {
            machine,
            inputs: &inputs[..n],
            addresses: self.addresses[..n].to_vec(),
            out,
            residual: out,
            keep,
        }
    }

    /// Copies input `i` to where the result goes.
    pub(crate) fn begin_with(&self, i: usize) -> Result<()> {
        // SAFETY: the result has this input's shape, and is memory of its own.
        unsafe { self.machine.copy(self.at(i), self.out, 4 * self.inputs[i].elem_count()) }
    }

    /// Whether the result is added to what is there.
    pub(crate) fn adds(&self) -> bool {
        self.residual != 0
    }

    /// Whether kernels can take these inputs at all: none empty, all aligned to 16 bytes, none too long.
    pub(crate) fn is_regular(&self) -> bool {
        let sizes = self.inputs.iter().all(|t| t.elem_count() > 0 && t.dims().iter().product::<usize>() > 0);
        let rows = |t: &Tensor| t.elem_count() / t.dims().last().copied().unwrap_or(1).max(1);
        let short = self.inputs.iter().all(|t| rows(t) < MOST);
        sizes && short && self.addresses.iter().chain([&self.out]).all(|a| a.is_multiple_of(16))
    }

    /// The inputs.
    pub(crate) fn inputs(&self) -> &'a [Tensor] {
        self.inputs
    }

    /// Address of input `i`.
    pub(super) fn at(&self, i: usize) -> u64 {
        self.addresses[i]
    }

    /// Number type of weights and intermediate values.
    pub(super) fn precision(&self) -> Precision {
        self.machine.precision()
    }

    /// Memory for `n` intermediate values.
    pub(super) fn values(&self, n: usize) -> Result<Memory> {
        self.machine.memory(n * self.precision().bytes())
    }

    /// Memory for `n` f32 values.
    pub(super) fn floats(&self, n: usize) -> Result<Memory> {
        self.machine.memory(4 * n)
    }

    /// Weights of these inputs, one after the other, in the machine's precision.
    pub(super) fn weights<const N: usize>(&self, inputs: [usize; N]) -> Result<Memory> {
        self.packed(inputs, self.precision())
    }

    /// Vectors of these inputs, one after the other, in f32.
    pub(super) fn vectors<const N: usize>(&self, inputs: [usize; N]) -> Result<Memory> {
        self.packed(inputs, Precision::F32)
    }

    fn packed<const N: usize>(&self, inputs: [usize; N], precision: Precision) -> Result<Memory> {
        self.machine.packed(&inputs.map(|i| &self.inputs[i]), precision, self.keep)
    }

    /// A row kernel's warps and shared memory; none if it does not fit.
    pub(super) fn rows(&self, needs: &Needs) -> Option<Rows> {
        Rows::fit(needs, self.machine.shared(), self.machine.processors())
    }

    /// Launches a kernel whose blocks take tiles in turn. The name gets the types of a representation in f32 and weights.
    ///
    /// # Safety
    /// As [`Machine::launch`].
    pub(super) unsafe fn launch_rows<A: Arguments>(
        &self,
        file: &'static str,
        kernel: &str,
        rows: &Rows,
        arguments: &A,
    ) -> Result<()> {
        let launch = Launch {
            file,
            kernel: format!("{kernel}_f32_{}", self.precision().name()),
            blocks: rows.tiles,
            turns: true,
            threads: 32 * rows.warps,
            shared: rows.shared,
        };
        // SAFETY: as the caller's.
        unsafe { self.launch(&launch, arguments) }
    }

    /// Launches a kernel whose threads, 256 a block, take `values` values in turn, or eight at a time.
    ///
    /// # Safety
    /// As [`Machine::launch`].
    pub(super) unsafe fn launch_values<A: Arguments>(
        &self,
        file: &'static str,
        kernel: &str,
        values: usize,
        arguments: &A,
    ) -> Result<()> {
        let kernel = kernel.to_string();
        let launch =
            Launch { file, kernel, blocks: values.div_ceil(1024), turns: true, threads: 256, shared: 0 };
        // SAFETY: as the caller's.
        unsafe { self.launch(&launch, arguments) }
    }

    /// Launches a kernel.
    ///
    /// # Safety
    /// As [`Machine::launch`].
    pub(super) unsafe fn launch<A: Arguments>(&self, launch: &Launch, arguments: &A) -> Result<()> {
        if launch.blocks == 0 || launch.blocks > MOST {
            candle_core::bail!("{}: expected 1 to {MOST} blocks, got {}", launch.kernel, launch.blocks);
        }
        // SAFETY: as the caller's; `Arguments` says that the type is the kernel's.
        unsafe { self.machine.launch(launch, std::ptr::from_ref(arguments).cast(), size_of::<A>()) }
    }

    /// Matrix products.
    ///
    /// # Safety
    /// As [`Machine::products`].
    pub(super) unsafe fn products(&self, p: &Products) -> Result<()> {
        // SAFETY: as the caller's.
        unsafe { self.machine.products(p) }
    }
}
