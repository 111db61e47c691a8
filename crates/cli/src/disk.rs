//! Room on a disk, and files that are there after a power cut.

use anyhow::Context;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// Bytes a user may still write where `path` lies; `None` where the system does not say.
#[cfg(unix)]
pub fn free(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Bytes a user may still write where `path` lies; `None` where the system does not say.
#[cfg(not(unix))]
pub fn free(_: &Path) -> Option<u64> {
    None
}

/// # Errors  with both numbers if `path` has less room than `need` bytes; never where the system does not say.
pub fn check(path: &Path, need: u64, what: &str) -> anyhow::Result<()> {
    check_free(path, need, free(path), what)
}

fn check_free(path: &Path, need: u64, free: Option<u64>, what: &str) -> anyhow::Result<()> {
    let Some(free) = free.filter(|&free| free < need) else { return Ok(()) };
    let full = std::io::Error::new(
        std::io::ErrorKind::StorageFull,
        format!("{}: {what} needs {} of disk space, {} are free", path.display(), size(need), size(free)),
    );
    Err(full.into())
}

/// Bytes for people, in the unit that shows them: `5.3 GB`, `373.1 MB`, `40 kB`.
fn size(bytes: u64) -> String {
    match bytes as f64 {
        b if b >= 1e9 => format!("{:.1} GB", b / 1e9),
        b if b >= 1e6 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.0} kB", (b / 1e3).ceil()),
    }
}

/// Is this an error that every further target would meet: no room, or nothing may be written?
pub fn is_full(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let kinds = [StorageFull, QuotaExceeded, ReadOnlyFilesystem];
    error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>()).any(|e| kinds.contains(&e.kind()))
}

/// Opens a file or folder with `open`, and locks it against other runs until the handle is dropped. Locks
/// bind on Unix; elsewhere, and on file systems without them, nothing is locked.
///
/// # Errors  `busy` if another run holds it, or what `open` says.
pub fn lock(path: &Path, busy: &str, open: impl Fn(&Path) -> std::io::Result<File>) -> anyhow::Result<File> {
    loop {
        let file = open(path).with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) if cfg!(unix) => {
                anyhow::bail!("{}: another run of foldry {busy}", path.display())
            }
            // The other run may have finished, and taken the name away, between opening and locking.
            Ok(()) if !is_same(&file, path) => {}
            _ => return Ok(file),
        }
    }
}

#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let key = |m: std::fs::Metadata| (m.dev(), m.ino());
    let open = file.metadata().map(key).ok();
    open.is_some() && open == path.metadata().map(key).ok()
}

#[cfg(not(unix))]
fn is_same(_: &File, _: &Path) -> bool {
    true
}

/// Writes a file and waits until the disk has it.
///
/// # Errors  the file system's, naming the file.
pub fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let written = File::create(path).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_room_is_told_in_numbers() {
        let here = Path::new("out");
        assert!(check_free(here, 70, Some(70), "x").is_ok());
        assert!(check_free(here, u64::MAX, None, "x").is_ok());
        let error = check_free(here, 5_300_000_000, Some(12_000), "the archive").unwrap_err();
        assert_eq!(error.to_string(), "out: the archive needs 5.3 GB of disk space, 12 kB are free");
        assert!(is_full(&error) && !is_full(&anyhow::anyhow!("other")));
        #[cfg(unix)]
        assert!(free(&std::env::temp_dir()).unwrap() > 0);
    }
}
