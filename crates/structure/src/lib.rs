//! PDB, mmCIF and ModelCIF, in and out: the only place that knows those formats.
//!
//! Reading gives protein chains in atom37 layout with their full sequences, as AlphaFold's
//! template code wants them ([`read`], [`Chain::full_sequence`]); writing takes a [`Prediction`] and
//! prints it ([`write_pdb`], [`write_modelcif`]). Works on bytes: no files, no network, no decompression.
//! Coordinates are Å throughout.

mod builder;
mod cif;
mod error;
mod fields;
mod lines;
mod model;
mod pdb;
mod seqres;

pub use cif::write_modelcif;
pub use error::{Error, Place};
pub use model::{
    Chain, Format, Limits, Monomer, Position, PredictedChain, Prediction, Provenance, Residue, Structure,
};
pub use pdb::write_pdb;

/// Reads the protein chains of the first model.
/// `format` `None` looks at the content: mmCIF begins with `data_`, PDB with one of its records.
///
/// # Errors
/// Errors print as `line:column: what`; put the file's name and a colon before.
pub fn read(bytes: &[u8], format: Option<Format>, limits: &Limits) -> Result<Structure, Error> {
    if bytes.len() > limits.bytes {
        let at = Place { line: 1, column: 1 };
        return Err(Error::TooLarge { at, limit: limits.bytes, unit: "bytes" });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match format.map_or_else(|| detect(bytes), Ok)? {
        Format::Pdb => pdb::read(bytes, limits),
        Format::MmCif => cif::read(bytes, limits),
    }
}

/// Records a PDB file may begin with, or hold in its first lines.
const RECORDS: [&[u8]; 18] = [
    b"HEADER", b"TITLE", b"COMPND", b"SOURCE", b"KEYWDS", b"EXPDTA", b"AUTHOR", b"REVDAT", b"JRNL",
    b"REMARK", b"DBREF", b"SEQRES", b"CRYST1", b"MODEL", b"ATOM", b"HETATM", b"PARENT", b"PFRMAT",
];

/// Which of the two formats the content is.
///
/// # Errors
/// [`Error::UnknownFormat`] if it is neither, naming compressed and other files where recognised.
pub fn detect(bytes: &[u8]) -> Result<Format, Error> {
    let found = match bytes {
        [] => "an empty file".into(),
        [0x1f, 0x8b, ..] => "gzip data".into(),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd data".into(),
        [b'P', b'K', 3, 4, ..] => "a zip archive".into(),
        _ => {
            let lines = bytes.split(|&b| b == b'\n').take(1000).map(<[u8]>::trim_ascii);
            let mut lines = lines.filter(|l| !l.is_empty() && !l.starts_with(b"#"));
            let first = lines.next().unwrap_or(&[]);
            if first.get(..5).is_some_and(|w| w.eq_ignore_ascii_case(b"data_")) {
                return Ok(Format::MmCif);
            }
            if std::iter::once(first).chain(lines).any(|l| RECORDS.iter().any(|r| l.starts_with(r))) {
                return Ok(Format::Pdb);
            }
            fields::shown(first)
        }
    };
    Err(Error::UnknownFormat { found })
}
