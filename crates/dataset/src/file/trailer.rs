//! The last bytes of a part: where its index is, which part it is of which set, and checksums.

use super::{HEAD, MAGIC, VERSION, index};
use crate::Error;
use crate::cursor::Cursor;

/// Bytes of a trailer.
pub(crate) const SIZE: usize = 100;
/// Last bytes of every part.
const END: [u8; 8] = *b"FOLDEND\n";
/// Most parts of a set: their numbers have three digits.
pub(crate) const MAX_PARTS: u32 = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub index_offset: u64,
    pub index_size: u64,
    pub records: u64,
    /// From 0.
    pub part: u32,
    pub parts: u32,
    /// The same in all parts of a set, and in no other set.
    pub set: [u8; 16],
    pub index_crc: u32,
    /// Of all bytes before the trailer.
    pub sha256: [u8; 32],
}

impl Trailer {
    pub fn encode(&self) -> [u8; SIZE] {
        let mut out = Vec::with_capacity(SIZE);
        for number in [self.index_offset, self.index_size, self.records] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.part, self.parts] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.set);
        out.extend_from_slice(&self.index_crc.to_le_bytes());
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.sha256);
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&END);
        let mut bytes = [0; SIZE];
        bytes[..out.len()].copy_from_slice(&out);
        bytes
    }

    /// Reads head and trailer of a whole file and checks that they agree with its size.
    pub fn of(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |offset: usize, expected: &str, found: String| Error::Format {
            file: file.to_string(),
            offset: offset as u64,
            expected: expected.to_string(),
            found,
        };
        if bytes.is_empty() {
            return Err(wrong(0, "a dataset", "an empty file".into()));
        }
        if !bytes.starts_with(&MAGIC) {
            return Err(wrong(0, "a dataset (.foldset)", what_it_is(bytes)));
        }
        if bytes.len() < HEAD + SIZE {
            let found = format!("{} bytes: the file is cut short", bytes.len());
            return Err(wrong(bytes.len(), "head and trailer", found));
        }
        let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if version != VERSION {
            let found = format!("version {version}: made by another foldry");
            return Err(wrong(8, &format!("format version {VERSION}"), found));
        }
        let start = bytes.len() - SIZE;
        let trailer = &bytes[start..];
        if trailer[SIZE - END.len()..] != END {
            return Err(wrong(
                start,
                "a trailer",
                "other bytes: the file is cut short or was appended to".into(),
            ));
        }
        let (summed, sum) = trailer[..SIZE - END.len()].split_at(SIZE - END.len() - 4);
        if crc32fast::hash(summed).to_le_bytes() != sum {
            return Err(wrong(
                start,
                "a trailer with its checksum",
                "another checksum: it is damaged".into(),
            ));
        }
        let found = Self::decode(summed).map_err(|what| wrong(start, "a trailer", what))?;
        if found.index_offset.checked_add(found.index_size) != Some(start as u64)
            || found.index_offset < HEAD as u64
            || found.records.checked_mul(index::ENTRY as u64).is_none_or(|n| n > found.index_size)
        {
            return Err(wrong(start, "an index that ends at the trailer", format!("{found:?}")));
        }
        if found.parts > MAX_PARTS || found.part >= found.parts {
            let what = format!("part {} of {}", found.part, found.parts);
            return Err(wrong(start, &format!("a part of at most {MAX_PARTS}"), what));
        }
        Ok(found)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let mut c = Cursor::new(bytes);
        let (index_offset, index_size, records) = (c.u64()?, c.u64()?, c.u64()?);
        let (part, parts, set, index_crc) = (c.u32()?, c.u32()?, c.bytes()?, c.u32()?);
        let version = c.u32()?;
        if version != VERSION {
            return Err(format!("version {version}"));
        }
        let sha256 = c.bytes()?;
        c.end()?;
        Ok(Self { index_offset, index_size, records, part, parts, set, index_crc, sha256 })
    }
}

fn what_it_is(bytes: &[u8]) -> String {
    match bytes {
        [0x1f, 0x8b, ..] => "gzip data (decompress it first)".into(),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd data (decompress it first)".into(),
        _ if bytes.starts_with(b"version https") => "a Git LFS pointer, not the file itself".into(),
        _ if bytes.starts_with(b"\x89FOLDS\n") => {
            "a dataset whose bytes were changed as if it were text".into()
        }
        _ => {
            let shown: String =
                bytes.iter().take(12).flat_map(|b| b.escape_ascii()).map(char::from).collect();
            format!("bytes `{shown}`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_come_back_and_fill_their_place() {
        let trailer = Trailer {
            index_offset: HEAD as u64,
            index_size: 0,
            records: 0,
            part: 2,
            parts: 5,
            set: [7; 16],
            index_crc: 9,
            sha256: [3; 32],
        };
        let bytes = [&super::super::head()[..], &trailer.encode()].concat();
        assert_eq!(Trailer::of("x", &bytes).unwrap(), trailer);
    }
}
