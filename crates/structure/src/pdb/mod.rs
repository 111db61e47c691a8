//! The legacy PDB format: 80 columns, one record a line (wwPDB format description 3.3).

mod header;
mod read;
mod write;

pub(crate) use read::read;
pub use write::write_pdb;
