//! Named arrays in files: AlphaFold `.npz`, OpenFold `.pt`, our `.safetensors`.
//!
//! Every reader gives the same thing, a map from name to [`Array`]; arrays that lie uncompressed in the
//! file stay there, memory-mapped, and cost nothing until they are converted. Nothing in a file is
//! executed, and what a file claims is checked against its size and against [`Limits`] before memory
//! is taken.

mod archive;
mod array;
mod atomic;
mod bytes;
mod error;
#[cfg(test)]
mod mutate;
mod npy;
pub mod npz;
mod pickle;
mod pickle_build;
mod pickle_value;
pub mod safetensors;
mod strided;
pub mod torch;

pub use array::{Array, Dtype};
pub use atomic::write_atomically;
pub use bytes::Bytes;
pub use error::FileError;

use std::collections::BTreeMap;
use std::path::Path;

/// Arrays by name, as every reader gives them and every writer takes them.
pub type Arrays = BTreeMap<String, Array>;

/// The container a weight or feature file uses, told by its first bytes and its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Zip of `.npy` entries, as `numpy.savez` writes it.
    Npz,
    /// Zip with a `data.pkl`, as `torch.save` writes it.
    Torch,
    /// Length-prefixed JSON header and raw data.
    Safetensors,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Npz => "npz",
            Self::Torch => "pt",
            Self::Safetensors => "safetensors",
        })
    }
}

/// How much a file may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Arrays or archive entries in one file.
    pub entries: usize,
    /// Bytes of one header, or of a checkpoint's pickle.
    pub header: usize,
    /// Bytes taken in memory for one file: decompressed entries and rearranged views together.
    pub memory: u64,
}

impl Default for Limits {
    /// Room for any published parameter set: 100,000 arrays, 16 MiB of header, 8 GiB of memory.
    fn default() -> Self {
        Self { entries: 100_000, header: 16 << 20, memory: 8 << 30 }
    }
}

/// Reads every array of an npz, torch or safetensors file, whichever it is by content.
/// # Errors  [`FileError`] if it is none of these, damaged, or beyond the default limits.
pub fn read(path: &Path) -> Result<(Format, Arrays), FileError> {
    let file = path.display().to_string();
    parse(&file, &Bytes::map(path)?, &Limits::default())
}

/// Like [`read`], from bytes; `file` is the name used in errors.
/// # Errors  as [`read`].
pub fn parse(file: &str, bytes: &Bytes, limits: &Limits) -> Result<(Format, Arrays), FileError> {
    let format = detect(file, bytes)?;
    let arrays = match format {
        Format::Npz => npz::parse(file, bytes, limits)?,
        Format::Torch => torch::parse(file, bytes, limits)?,
        Format::Safetensors => safetensors::parse(file, bytes, limits)?.0,
    };
    Ok((format, arrays))
}

/// Tells the format of a file from its content.
/// # Errors  [`FileError::Format`] naming what was found instead.
pub fn detect(file: &str, bytes: &Bytes) -> Result<Format, FileError> {
    let head = &bytes[..bytes.len().min(16)];
    if head.starts_with(b"PK") {
        return if archive::has_pickle(file, bytes)? { Ok(Format::Torch) } else { Ok(Format::Npz) };
    }
    if head.len() >= 9 && head[8] == b'{' {
        return Ok(Format::Safetensors);
    }
    let found = match head {
        [] => "an empty file",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "a single .npy array (put it in an .npz)",
        [0x80, 2..=5, ..] => {
            "a pickle or a checkpoint in torch's format of before 1.6 (save it again with a newer torch)"
        }
        [0x1f, 0x8b, ..] => "a gzip file (decompress it first)",
        [b'<', ..] => "a web page",
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive (extract it first)",
        _ if head.starts_with(b"version https") => "a Git LFS pointer, not the file itself",
        _ => "unknown bytes",
    };
    Err(FileError::format(file, "an .npz, .pt or .safetensors file", found))
}
