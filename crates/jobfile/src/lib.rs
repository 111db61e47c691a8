//! Job files of other programs, and our own: what is to be folded, as people have written it down already.
//!
//! [`detect`] tells the dialect by name and content, [`read`] turns bytes into [`Request`]s. Formats hold more than this
//! program folds: a [`Request`] carries what was found, [`Request::monomer`] refuses what cannot be folded, naming the place.
//!
//! **Invariant:** works on bytes and opens no file; a path inside a job file is handed on as [`Content::Path`], so that a
//! server can refuse it. Knows no alignment and no structure format. Memory is bounded by [`Limits`].

mod alphafold3;
mod alphafold_server;
mod boltz;
mod colabfold;
mod csv;
mod detect;
mod draft;
mod error;
mod file;
mod json;
mod limits;
mod monomer;
#[cfg(test)]
mod mutate;
mod own;
mod place;
mod request;
mod residues;
#[cfg(test)]
mod tests;
mod types;
mod yaml;

pub use detect::{Dialect, detect};
pub use error::Error;
pub use limits::Limits;
pub use monomer::{Monomer, Seeds};
pub use place::Place;
pub use request::{Alignment, Chain, Content, Note, Options, Request, Template, Unsupported, Webhook};

use file::File;

/// A job, or what is wrong with it.
type Each = Vec<Result<Request, Error>>;

/// The requests of a job file: decompressed `bytes` of a file called `name`.
///
/// # Errors  [`Error::Unknown`] if [`detect`] finds no dialect; else what is wrong, and where.
pub fn read(name: &str, bytes: &[u8], limits: &Limits) -> Result<Vec<Request>, Error> {
    read_each(name, bytes, limits)?.into_iter().collect()
}

/// As [`read`], but a job whose values cannot be leaves the others of its file.
///
/// # Errors  as [`read`], of the file as a whole: also for unknown keys and values of another type.
pub fn read_each(name: &str, bytes: &[u8], limits: &Limits) -> Result<Vec<Result<Request, Error>>, Error> {
    if bytes.len() as u64 > limits.bytes {
        return Err(Error::limit(&Place::file(name), "bytes", limits.bytes));
    }
    let Some(dialect) = detect(name, bytes) else {
        return Err(Error::Unknown { file: name.to_string(), found: detect::look(bytes) });
    };
    let file = File::new(name, bytes, limits)?;
    let requests = match dialect {
        Dialect::AlphaFoldServer => alphafold_server::read(&file),
        Dialect::AlphaFold3 => alphafold3::read(&file),
        Dialect::Boltz => boltz::read(&file),
        Dialect::ColabFold => colabfold::read(&file),
        Dialect::Own => own::read(&file),
    }?;
    match requests.is_empty() {
        true => Err(Error::value(&Place::file(name), "at least one job", "none")),
        false => Ok(requests),
    }
}
