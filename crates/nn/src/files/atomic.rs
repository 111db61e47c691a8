//! Files appear whole or not at all: written beside their place, then renamed into it.

use super::FileError;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes `path` through a temporary file in the same folder, synced and renamed when `fill` succeeds.
/// A failure leaves what was there before.
/// # Errors  what `fill` gives, or [`FileError::Io`] naming `path`.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<(), FileError>,
) -> Result<(), FileError> {
    let io = |e| FileError::io(path.display().to_string(), e);
    let Some(name) = path.file_name() else {
        return Err(FileError::format(&path.display().to_string(), "a file name", "none"));
    };
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(part);
    let outcome = File::create(&part).map_err(io).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        fill(&mut out)?;
        out.flush().map_err(io)?;
        out.get_ref().sync_all().map_err(io)?;
        fs::rename(&part, path).map_err(io)
    });
    if outcome.is_err() {
        // The first error is the one to report; the leftover may not even exist.
        let _ = fs::remove_file(&part);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_old_file_on_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.bin");
        write_atomically(&path, |out| out.write_all(b"one").map_err(|e| FileError::io("w", e))).unwrap();
        let failed = write_atomically(&path, |out| {
            out.write_all(b"two").map_err(|e| FileError::io("w", e))?;
            Err(FileError::format("w", "a", "b"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
