//! The container: head, records, index, trailer. docs/formats.md describes it byte by byte.

pub(crate) mod index;
pub(crate) mod name;
#[cfg(test)]
mod tests;
pub(crate) mod trailer;

/// First bytes of every part. The high bit and the line ends show up files that were copied as text.
pub(crate) const MAGIC: [u8; 8] = *b"\x89FOLDS\r\n";
/// Changes when an older reader could not read the file any more.
pub(crate) const VERSION: u32 = 1;
/// Magic, version, four bytes of zero.
pub(crate) const HEAD: usize = 16;

/// The first [`HEAD`] bytes.
pub(crate) fn head() -> [u8; HEAD] {
    let mut bytes = [0; HEAD];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}
