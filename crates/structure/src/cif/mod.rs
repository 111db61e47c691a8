//! mmCIF (PDBx) and its extension for models, ModelCIF. Syntax: CIF 1.1 (iucr.org/resources/cif/spec/version1.1).

mod lexer;
mod read;
mod table;
mod tables;
mod text;
mod write;

pub(crate) use read::read;
pub use write::write_modelcif;
