//! Bytes, named by their sha256, in a folder or in an S3-compatible store.
//!
//! A blob is there whole or not at all, and is stored safely before anything refers to it; so a crash leaves at most a
//! blob that nobody knows, which [`Blobs::sweep`] removes.

mod folder;
mod parts;

#[cfg(feature = "s3")]
mod bucket;
#[cfg(feature = "s3")]
mod client;

#[cfg(feature = "s3")]
pub use client::S3Options;
pub use parts::Parts;

use crate::probe::Hook;
use crate::{Digest, JobStore, Probe, Result};
use folder::Folder;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A place for blobs. A folder belongs to one process that puts and sweeps, and any number may read; of a bucket any number
/// of servers may do all.
#[derive(Clone, Debug)]
pub struct Blobs(Place);

#[derive(Clone, Debug)]
enum Place {
    Folder(Folder),
    #[cfg(feature = "s3")]
    Bucket(bucket::Bucket),
}

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs and unfinished files that were removed.
    pub removed: u64,
    /// Blobs that remain.
    pub kept: u64,
}

/// Calls the same method of whichever place it is.
macro_rules! either {
    ($self:ident, $place:ident => $call:expr) => {
        match &$self.0 {
            Place::Folder($place) => $call,
            #[cfg(feature = "s3")]
            Place::Bucket($place) => $call,
        }
    };
}

impl Blobs {
    /// Opens a folder, or makes it.
    /// # Errors  `DiskFull`, `Io`.
    pub fn open(root: &Path) -> Result<Self> {
        Folder::open(root).map(|folder| Self(Place::Folder(folder)))
    }

    /// Tells `probe` of every blob that is put as `blob`, for tests that crash. Of a folder only.
    pub fn probed(mut self, probe: Arc<dyn Probe>) -> Self {
        match &mut self.0 {
            Place::Folder(folder) => folder.probe = Hook(Some(probe)),
            #[cfg(feature = "s3")]
            Place::Bucket(_) => {}
        }
        self
    }

    /// Opens a bucket, which must be there.
    /// # Errors  `Remote` if it is not, or may not be written to.
    #[cfg(feature = "s3")]
    pub async fn s3(options: S3Options) -> Result<Self> {
        let bucket = bucket::Bucket::open(options)?;
        bucket.check().await?;
        Ok(Self(Place::Bucket(bucket)))
    }

    /// The file of a blob, where blobs are files. The path is made of nothing but the digest.
    pub fn path(&self, digest: Digest) -> Option<PathBuf> {
        match &self.0 {
            Place::Folder(folder) => Some(folder.path(digest)),
            #[cfg(feature = "s3")]
            Place::Bucket(_) => None,
        }
    }

    /// Stores the bytes; when it returns they are safe, and no sweep removes them for a sweep's least age.
    /// # Errors  `DiskFull`, `Io`, `Remote`.
    pub async fn put(&self, bytes: Vec<u8>) -> Result<Digest> {
        either!(self, place => place.put(bytes).await)
    }

    /// Reads a blob.
    /// # Errors  `NoBlob`; `Damaged` if its bytes are not those of its name; `Io`, `Remote`.
    pub async fn get(&self, digest: Digest) -> Result<Vec<u8>> {
        either!(self, place => place.get(digest).await)
    }

    /// How many bytes a blob has.
    /// # Errors  `NoBlob`, `Io`, `Remote`.
    pub async fn size(&self, digest: Digest) -> Result<u64> {
        either!(self, place => place.size(digest).await)
    }

    /// Bytes of a blob, from the first of `range` to before its end, a part at a time. They are not held against the
    /// digest, which needs all of them.
    /// # Errors  `NoBlob`, `Io`, `Remote`.
    pub async fn parts(&self, digest: Digest, range: Range<u64>) -> Result<Parts> {
        either!(self, place => place.parts(digest, range).await)
    }

    /// The same, all at once.
    /// # Errors  `NoBlob`; `Damaged` if it has fewer bytes; `Io`, `Remote`.
    pub async fn get_range(&self, digest: Digest, range: Range<u64>) -> Result<Vec<u8>> {
        let mut parts = self.parts(digest, range).await?;
        let mut bytes = Vec::new();
        while let Some(part) = parts.next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    /// Removes blobs that no job refers to and that were put, or put again, at least `age` ago. `age` must be longer
    /// than it takes from a put to the submission or end of its job.
    /// # Errors  `Io`, `Remote`, and what the store says.
    pub async fn sweep(&self, store: &dyn JobStore, age: Duration) -> Result<Swept> {
        either!(self, place => place.sweep(store, age).await)
    }
}
