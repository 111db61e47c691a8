//! Which ranks this process is one of: those that a launcher started, or it alone.

use super::nccl::Nccl;
use super::{Collective, Single};
use crate::error::{Error, Result};

/// What Open MPI, MPICH and process managers that follow PMIx set for the processes they start.
const MPI: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"];

/// What `torchrun` and launchers like it set.
const WORLD: &str = "WORLD_SIZE";

/// Says through what ranks talk, whatever the launcher.
const CHOICE: &str = "FOLDRY_RANKS";

/// Through what ranks talk.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    Alone,
    Mpi,
    Nccl,
}

/// The ranks of this process: those it was started with by `mpirun` or the like, which talk through MPI; those of an environment
/// like `torchrun`'s, which talk through NCCL; or it alone. To be called once, from the main thread, which also drops the result.
///
/// # Errors  If it is one of several and they cannot talk: for MPI the program must have been built with the feature `mpi`, for NCCL
/// there must be a GPU and the library.
pub fn join() -> Result<Box<dyn Collective>> {
    Ok(match way(|name| std::env::var(name).ok(), cfg!(feature = "mpi"))? {
        Way::Alone => Box::new(Single),
        #[cfg(feature = "mpi")]
        Way::Mpi => Box::new(super::mpi::Mpi::begin()?),
        #[cfg(not(feature = "mpi"))]
        Way::Mpi => unreachable!("not chosen without the feature"),
        Way::Nccl => Box::new(Nccl::begin()?),
    })
}

fn way(variable: impl Fn(&str) -> Option<String>, mpi: bool) -> Result<Way> {
    let sign = MPI.into_iter().find_map(|name| Some((name, variable(name)?)));
    let choice = variable(CHOICE).filter(|v| !v.is_empty());
    match (choice.as_deref(), sign) {
        (Some("none"), _) => Ok(Way::Alone),
        (Some("nccl"), _) => Ok(Way::Nccl),
        (Some("mpi"), _) if mpi => Ok(Way::Mpi),
        (Some("mpi"), _) => Err(needs_mpi(format!("none, and {CHOICE}=mpi"))),
        (Some(other), _) => Err(Error::config(CHOICE, "mpi, nccl or none", format!("{other:?}"))),
        (None, Some(_)) if mpi => Ok(Way::Mpi),
        (None, Some((name, number))) if name.ends_with("_SIZE") && number == "1" => Ok(Way::Alone),
        // Each of the processes would take itself for the only one, and all would write the same files.
        (None, Some((name, number))) => Err(needs_mpi(format!("none, and {name}={number} of mpirun"))),
        // Also without RANK: a process that is one of several must not take itself for the only one.
        (None, None) => match variable(WORLD).as_deref() {
            None | Some("" | "1") => Ok(Way::Alone),
            Some(_) => Ok(Way::Nccl),
        },
    }
}

fn needs_mpi(found: String) -> Error {
    Error::config("several ranks", "a program built with the feature `mpi`", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(variables: &[(&str, &str)], mpi: bool) -> std::result::Result<Way, String> {
        let variable = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_owned());
        way(variable, mpi).map_err(|e| e.to_string())
    }

    #[test]
    fn the_environment_says_through_what() {
        assert_eq!(told(&[], true), Ok(Way::Alone));
        assert_eq!(told(&[("WORLD_SIZE", "1"), ("RANK", "0")], true), Ok(Way::Alone));
        assert_eq!(told(&[("WORLD_SIZE", "2")], false), Ok(Way::Nccl));
        let mpirun = [("OMPI_COMM_WORLD_SIZE", "2"), ("WORLD_SIZE", "2")];
        assert_eq!(told(&mpirun, true), Ok(Way::Mpi));
        let error = told(&mpirun, false).unwrap_err();
        let expected = "several ranks: expected a program built with the feature `mpi`, \
                        found none, and OMPI_COMM_WORLD_SIZE=2 of mpirun";
        assert_eq!(error, expected);
        assert_eq!(told(&[("PMI_SIZE", "1")], false), Ok(Way::Alone));
    }

    #[test]
    fn a_choice_is_followed() {
        let mpirun = ("OMPI_COMM_WORLD_SIZE", "2");
        assert_eq!(told(&[mpirun, (CHOICE, "nccl")], false), Ok(Way::Nccl));
        assert_eq!(told(&[mpirun, (CHOICE, "none")], true), Ok(Way::Alone));
        assert_eq!(told(&[(CHOICE, "mpi")], true), Ok(Way::Mpi));
        assert!(told(&[(CHOICE, "mpi")], false).unwrap_err().contains("found none, and FOLDRY_RANKS=mpi"));
        let error = told(&[(CHOICE, "gloo")], true).unwrap_err();
        assert_eq!(error, "FOLDRY_RANKS: expected mpi, nccl or none, found \"gloo\"");
    }
}
