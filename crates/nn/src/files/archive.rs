//! Zip archives: stored entries are slices of the file, deflated ones are inflated under a limit.

use super::{Bytes, FileError, Limits, error::clip};
use std::io::{Cursor, Read};
use zip::{CompressionMethod, ZipArchive};

/// One file inside an archive.
pub(crate) struct Entry {
    pub name: String,
    pub data: Bytes,
}

/// True if the archive has a `data.pkl`, so is a torch checkpoint.
pub(crate) fn has_pickle(file: &str, bytes: &Bytes) -> Result<bool, FileError> {
    let archive = open(file, bytes)?;
    Ok((0..archive.len()).any(|i| {
        archive
            .name_for_index(i)
            .is_some_and(|name| name.is_ok_and(|n| n == "data.pkl" || n.ends_with("/data.pkl")))
    }))
}

/// Every file of the archive in its order, checksums verified. Deflated entries share `limits.memory`.
pub(crate) fn entries(file: &str, bytes: &Bytes, limits: &Limits) -> Result<Vec<Entry>, FileError> {
    let mut archive = open(file, bytes)?;
    if archive.len() > limits.entries {
        return Err(FileError::limit(file, "archive", "entries", limits.entries as u64));
    }
    let mut left = limits.memory;
    let mut found = Vec::with_capacity(archive.len());
    let mut sums = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let broken = |e: zip::result::ZipError| {
            FileError::entry(file, &format!("archive entry {index}"), "a readable zip entry", e.to_string())
        };
        let mut entry = archive.by_index(index).map_err(broken)?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_err(broken)?.into_owned();
        let size = entry.size();
        let data = if entry.compression() == CompressionMethod::Stored {
            let place = entry.data_start().and_then(|start| usize::try_from(start).ok());
            let view = place
                .zip(usize::try_from(size).ok())
                .and_then(|(start, len)| bytes.slice(start, len))
                .filter(|_| size == entry.compressed_size());
            let view = view.ok_or_else(|| {
                FileError::entry(file, &name, format!("{size} bytes inside the file"), "fewer")
            })?;
            sums.push((found.len(), entry.crc32()));
            view
        } else {
            if size > left {
                return Err(FileError::limit(file, &name, "decompressed bytes", limits.memory));
            }
            // The stated size is a claim: memory grows with what really comes out.
            let mut data = Vec::with_capacity(size.min(1 << 20) as usize);
            let read = entry.by_ref().take(size.saturating_add(1)).read_to_end(&mut data);
            read.map_err(|e| FileError::entry(file, &name, "a readable zip entry", e.to_string()))?;
            if data.len() as u64 != size {
                return Err(FileError::entry(file, &name, format!("{size} bytes"), "another number"));
            }
            left -= size;
            data.into()
        };
        found.push(Entry { name, data });
    }
    check_sums(file, &found, &sums)?;
    Ok(found)
}

/// CRC-32 of stored entries, in parallel; inflated ones were checked while reading.
fn check_sums(file: &str, entries: &[Entry], sums: &[(usize, u32)]) -> Result<(), FileError> {
    use rayon::prelude::*;
    sums.par_iter().try_for_each(|&(index, expected)| {
        let entry = &entries[index];
        let found = crc32fast::hash(&entry.data);
        if found == expected {
            Ok(())
        } else {
            let (e, f) = (format!("CRC-32 {expected:08x}"), format!("{found:08x}"));
            Err(FileError::entry(file, &entry.name, e, f))
        }
    })
}

fn open<'a>(file: &str, bytes: &'a Bytes) -> Result<ZipArchive<Cursor<&'a [u8]>>, FileError> {
    ZipArchive::new(Cursor::new(&**bytes))
        .map_err(|e| FileError::format(file, "a complete zip archive", clip(&e.to_string())))
}
