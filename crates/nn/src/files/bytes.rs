//! A shared, immutable piece of memory: a file's map or a buffer, sliced without copying.

use super::FileError;
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a memory-mapped file or of a buffer; clones and slices share them.
#[derive(Clone)]
pub struct Bytes {
    store: Arc<Store>,
    start: usize,
    end: usize,
}

enum Store {
    Owned(Vec<u8>),
    Mapped(memmap2::Mmap),
}

impl Bytes {
    /// Maps a file read-only; what cannot be mapped (a pipe) is read, up to 16 GiB.
    /// # Errors  [`FileError::Io`] if it cannot be opened, mapped or read.
    pub fn map(path: &Path) -> Result<Self, FileError> {
        let name = || path.display().to_string();
        let file = File::open(path).map_err(|e| FileError::io(name(), e))?;
        let meta = file.metadata().map_err(|e| FileError::io(name(), e))?;
        if meta.is_dir() {
            return Err(FileError::format(&name(), "a file", "a folder"));
        }
        if !meta.is_file() {
            const CAP: u64 = 16 << 30;
            let mut data = Vec::new();
            file.take(CAP + 1).read_to_end(&mut data).map_err(|e| FileError::io(name(), e))?;
            if data.len() as u64 > CAP {
                return Err(FileError::limit(&name(), "stream", "bytes", CAP));
            }
            return Ok(data.into());
        }
        if meta.len() == 0 {
            return Ok(Vec::new().into());
        }
        // SAFETY: the map is read-only and private to this process. If another program truncates the file
        // while it is in use, a read faults; the same holds for every memory-mapped weight file, and our
        // own writers replace files by renaming, never in place.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| FileError::io(name(), e))?;
        let end = map.len();
        Ok(Self { store: Arc::new(Store::Mapped(map)), start: 0, end })
    }

    /// The bytes `start..start + len`, sharing memory; `None` if they are not all there.
    pub fn slice(&self, start: usize, len: usize) -> Option<Self> {
        let start = self.start.checked_add(start)?;
        let end = start.checked_add(len)?;
        (end <= self.end).then(|| Self { store: self.store.clone(), start, end })
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(data: Vec<u8>) -> Self {
        let end = data.len();
        Self { store: Arc::new(Store::Owned(data)), start: 0, end }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.store {
            Store::Owned(data) => &data[self.start..self.end],
            Store::Mapped(map) => &map[self.start..self.end],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_and_stay_inside() {
        let all = Bytes::from(vec![1, 2, 3, 4, 5]);
        let part = all.slice(1, 3).unwrap();
        assert_eq!(&*part, &[2, 3, 4]);
        assert_eq!(&*part.slice(2, 1).unwrap(), &[4]);
        assert!(part.slice(2, 2).is_none());
        assert!(part.slice(usize::MAX, 2).is_none());
    }

    #[test]
    fn maps_files_and_says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        std::fs::write(&path, [7u8; 11]).unwrap();
        assert_eq!(&*Bytes::map(&path).unwrap(), &[7; 11]);
        std::fs::write(&path, []).unwrap();
        assert!(Bytes::map(&path).unwrap().is_empty());
        let error = Bytes::map(&folder.path().join("none")).err().unwrap().to_string();
        assert!(error.contains("none: "), "{error}");
        assert!(Bytes::map(folder.path()).err().unwrap().to_string().contains("a folder"));
    }
}
