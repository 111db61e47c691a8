//! Operations as they run on a GPU — arguments, launches, memory, matrix products — with the kernels run on the CPU by the
//! emulator of `tests/kernels`, against their references and the CPU's gradients. `tests/kernels/run.sh` builds the library and
//! runs this.

mod backward;
mod cases;
mod forward;
mod launches;
mod machine;

/// Shared memory of a block of sm_80 and sm_90a, bytes.
const SHARED: [usize; 2] = [163 * 1024, 227 * 1024];
