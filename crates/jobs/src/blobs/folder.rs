//! Blobs in a folder: `ab/cdef…`.
//!
//! A blob is written aside, flushed, renamed, and its folder is flushed.

use super::{Parts, Swept};
use crate::probe::Hook;
use crate::{Digest, Error, JobStore, Point, Result};
use std::fs::{self, File};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// Blobs a sweep asks about at a time.
const PART: usize = 256;

/// A folder of blobs. One process at a time puts and sweeps; any number may read.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Shared by puts while they make a blob present and young; alone for a sweep that removes one.
    present: Arc<RwLock<()>>,
    /// For tests that crash.
    pub(super) probe: Hook,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self> {
        let blobs = Self { root: root.to_owned(), present: Arc::default(), probe: Hook::default() };
        let aside = blobs.aside();
        fs::create_dir_all(&aside).map_err(Error::io(&aside))?;
        flush(root)?;
        Ok(blobs)
    }

    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(&name[2..])
    }

    pub(super) async fn put(&self, bytes: Vec<u8>) -> Result<Digest> {
        let blobs = self.clone();
        blocking(move || blobs.put_now(&bytes)).await
    }

    fn put_now(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        let path = self.path(digest);
        let folder = path.parent().expect("a blob is in a folder");
        if !self.refresh(&path, bytes.len() as u64)? {
            match fs::create_dir(folder) {
                Ok(()) => flush(&self.root)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(folder)(error)),
            }
            let aside = self.aside().join(Uuid::now_v7().to_string());
            let written = write(&aside, bytes).and_then(|()| {
                self.probe.reached("blob", Point::Applied);
                let _present = self.present.read().expect("no holder panics");
                fs::rename(&aside, &path).map_err(Error::io(&path))
            });
            if let Err(error) = written {
                // On a full disk this gives the space back; a sweep does it otherwise.
                let _ = fs::remove_file(&aside);
                return Err(error);
            }
        }
        // Also for a blob that was there: whoever put it may not have come so far.
        flush(folder)?;
        self.probe.reached("blob", Point::Committed);
        Ok(digest)
    }

    /// Makes a blob that is there young; false if it is not there, or cut short.
    fn refresh(&self, path: &Path, length: u64) -> Result<bool> {
        let _present = self.present.read().expect("no holder panics");
        let file = match File::options().write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io(path)(error)),
        };
        if file.metadata().map_err(Error::io(path))?.len() != length {
            return Ok(false);
        }
        file.set_modified(SystemTime::now()).map_err(Error::io(path))?;
        Ok(true)
    }

    pub(super) async fn get(&self, digest: Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        blocking(move || {
            let bytes = found(digest, &path, fs::read(&path))?;
            let other = Digest::of(&bytes);
            if other == digest {
                Ok(bytes)
            } else {
                Err(Error::damaged(&path, format!("sha256 {digest}"), format!("sha256 {other}")))
            }
        })
        .await
    }

    pub(super) async fn size(&self, digest: Digest) -> Result<u64> {
        let path = self.path(digest);
        blocking(move || Ok(found(digest, &path, fs::metadata(&path))?.len())).await
    }

    pub(super) async fn parts(&self, digest: Digest, range: Range<u64>) -> Result<Parts> {
        let path = self.path(digest);
        blocking(move || {
            let mut file = found(digest, &path, File::open(&path))?;
            file.seek(SeekFrom::Start(range.start)).map_err(Error::io(&path))?;
            Ok(Parts::of_file(file, &path, range.start, range.end))
        })
        .await
    }

    pub(super) async fn sweep(&self, store: &dyn JobStore, age: Duration) -> Result<Swept> {
        let blobs = self.clone();
        let (old, mut swept) = blocking(move || blobs.old(age)).await?;
        for part in old.chunks(PART) {
            let orphans = store.unreferenced(part.to_vec()).await?;
            swept.kept += (part.len() - orphans.len()) as u64;
            let blobs = self.clone();
            let removed = blocking(move || blobs.remove(&orphans, age)).await?;
            swept.removed += removed.removed;
            swept.kept += removed.kept;
        }
        Ok(swept)
    }

    /// Blobs that are old enough; removes old unfinished files.
    fn old(&self, age: Duration) -> Result<(Vec<Digest>, Swept)> {
        let (mut old, mut swept) = (Vec::new(), Swept::default());
        for folder in entries(&self.root)? {
            for path in entries(&folder)? {
                if !is_old(&path, age)? {
                    swept.kept += u64::from(folder != self.aside());
                } else if folder == self.aside() {
                    fs::remove_file(&path).map_err(Error::io(&path))?;
                    swept.removed += 1;
                } else if let Some(digest) = named(&folder, &path) {
                    old.push(digest);
                }
            }
        }
        Ok((old, swept))
    }

    fn remove(&self, orphans: &[Digest], age: Duration) -> Result<Swept> {
        let mut swept = Swept::default();
        for &orphan in orphans {
            let path = self.path(orphan);
            let _alone = self.present.write().expect("no holder panics");
            // Asked again: it may have been put again since.
            if is_old(&path, age)? {
                fs::remove_file(&path).map_err(Error::io(&path))?;
                swept.removed += 1;
            } else {
                swept.kept += 1;
            }
        }
        Ok(swept)
    }

    fn aside(&self) -> PathBuf {
        self.root.join("aside")
    }
}

/// The digest a path stands for; other files in the folder are not ours to remove.
fn named(folder: &Path, path: &Path) -> Option<Digest> {
    format!("{}{}", folder.file_name()?.to_str()?, path.file_name()?.to_str()?).parse().ok()
}

/// What was read of a blob's file, unless it is not there.
fn found<T>(digest: Digest, path: &Path, read: std::io::Result<T>) -> Result<T> {
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::NoBlob(digest),
        _ => Error::io(path)(error),
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(folder).map_err(Error::io(folder))?;
    list.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io(folder))).collect()
}

fn is_old(path: &Path, age: Duration) -> Result<bool> {
    let modified = match fs::metadata(path).and_then(|data| data.modified()) {
        Ok(modified) => modified,
        // A put that just renamed its file.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io(path)(error)),
    };
    Ok(SystemTime::now().duration_since(modified).is_ok_and(|since| since >= age))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).map_err(Error::io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io(path))
}

/// Flushes a folder: a rename is on disk only then.
fn flush(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io(folder))
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is stopping.
        Err(_) => Err(Error::Closed),
    }
}
