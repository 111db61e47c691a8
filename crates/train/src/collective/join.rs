//! Which ranks this process is one of: those that `mpirun` started, or it alone.

use super::{Collective, Single};
#[cfg(not(feature = "mpi"))]
use crate::error::Error;
use crate::error::Result;

/// What Open MPI, MPICH and process managers that follow PMIx set for the processes they start.
const LAUNCHED: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"];

/// The ranks of this process: those it was started with by `mpirun` or the like, or it alone. To be called once, from the
/// main thread, which also drops the result.
///
/// # Errors  If it is one of several and the program was built without the feature `mpi`, or MPI cannot begin.
pub fn join() -> Result<Box<dyn Collective>> {
    match LAUNCHED.into_iter().find(|name| std::env::var_os(name).is_some()) {
        Some(sign) => launched(sign),
        None => Ok(Box::new(Single)),
    }
}

#[cfg(feature = "mpi")]
fn launched(_: &str) -> Result<Box<dyn Collective>> {
    Ok(Box::new(super::mpi::Mpi::begin()?))
}

/// Each of the processes would take itself for the only one, and all would write the same files.
#[cfg(not(feature = "mpi"))]
fn launched(sign: &str) -> Result<Box<dyn Collective>> {
    let number = std::env::var(sign).unwrap_or_default();
    if sign.ends_with("_SIZE") && number == "1" {
        return Ok(Box::new(Single));
    }
    let found = format!("none, and {sign}={number} of mpirun");
    Err(Error::config("several ranks", "a program built with the feature `mpi`", found))
}
