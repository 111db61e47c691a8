//! Blobs in a bucket: `ab/cdef…/NAME`, one object a put.
//!
//! S3 has no way to remove an object only if nobody has put it again meanwhile, so nothing is ever put again: every put
//! makes an object of its own, and a sweep removes objects, not blobs: old ones whose blob no job refers to,
//! and old ones beside which there is a newer one. A sweeper that stood still for an hour between
//! looking and removing does no harm: what it removes then was old before, and no put counts on an old object.

use super::client::{S3Options, remote};
use super::{Parts, Swept};
use crate::{Digest, Error, JobStore, Result};
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Blobs a sweep asks about at a time.
const PART: usize = 256;
/// Blobs a process remembers to have put.
const REMEMBERED: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    place: String,
    prefix: String,
    fresh: Duration,
    /// What this process has put, and when.
    put: Arc<Mutex<HashMap<Digest, Instant>>>,
}

impl Bucket {
    pub(super) fn open(options: S3Options) -> Result<Self> {
        let store = options.connect()?;
        let place = options.place();
        Ok(Self { store, place, prefix: options.prefix, fresh: options.fresh, put: Arc::default() })
    }

    /// Whether it can be written to and read.
    pub(super) async fn check(&self) -> Result<()> {
        self.now().await.map(|_| ())
    }

    /// The store's own time in milliseconds, which ages are held against: servers' clocks need not agree with it.
    async fn now(&self) -> Result<i64> {
        let mark = self.name(&["aside", &Uuid::now_v7().to_string()]);
        self.store.put(&mark, Vec::new().into()).await.map_err(self.failed(&mark))?;
        let made = self.store.head(&mark).await.map_err(self.failed(&mark))?.last_modified;
        self.store.delete(&mark).await.map_err(self.failed(&mark))?;
        Ok(made.timestamp_millis())
    }

    pub(super) async fn put(&self, bytes: Vec<u8>) -> Result<Digest> {
        let digest = Digest::of(&bytes);
        let known = self.put.lock().expect("no holder panics").get(&digest).copied();
        if known.is_some_and(|then| then.elapsed() < self.fresh) {
            return Ok(digest);
        }
        // Before the put: the store's time of the object is later.
        let began = Instant::now();
        let name = self.name(&[&folder(digest), &Uuid::now_v7().to_string()]);
        self.store.put(&name, bytes.into()).await.map_err(self.failed(&name))?;
        let mut put = self.put.lock().expect("no holder panics");
        if put.len() >= REMEMBERED {
            put.retain(|_, then| then.elapsed() < self.fresh);
            if put.len() >= REMEMBERED {
                put.clear();
            }
        }
        put.insert(digest, began);
        Ok(digest)
    }

    pub(super) async fn get(&self, digest: Digest) -> Result<Vec<u8>> {
        let (name, result) = self.open_newest(digest, GetOptions::default()).await?;
        let bytes = result.bytes().await.map_err(self.failed(&name))?;
        let other = Digest::of(&bytes);
        if other == digest {
            return Ok(bytes.into());
        }
        let place = PathBuf::from(self.address(&name));
        Err(Error::damaged(&place, format!("sha256 {digest}"), format!("sha256 {other}")))
    }

    pub(super) async fn size(&self, digest: Digest) -> Result<u64> {
        Ok(self.newest(digest).await?.size)
    }

    pub(super) async fn parts(&self, digest: Digest, range: Range<u64>) -> Result<Parts> {
        if range.is_empty() {
            // Not a range in HTTP's sense.
            let name = self.newest(digest).await?.location;
            return Ok(Parts::nothing(self.address(&name).into(), range.start));
        }
        let size = self.size(digest).await?;
        if range.start >= size {
            let expected = format!("at least {} bytes", range.end);
            return Err(Error::damaged(
                self.address(&self.name(&[&folder(digest)])).as_ref(),
                expected,
                size,
            ));
        }
        let wanted = Some(GetRange::Bounded(range.clone()));
        let (name, result) =
            self.open_newest(digest, GetOptions { range: wanted, ..GetOptions::default() }).await?;
        let address = self.address(&name);
        let place = address.clone();
        let stream = result.into_stream().filter_map(move |part| {
            let part = part.map(|bytes| bytes.to_vec()).map_err(|error| remote(&address, error));
            // An empty one would be taken for the end.
            std::future::ready(Some(part).filter(|part| !part.as_ref().is_ok_and(Vec::is_empty)))
        });
        Ok(Parts::of_stream(stream.boxed(), place.into(), range.start, range.end))
    }

    /// The newest object of a blob, which no sweep removes while a job refers to it.
    async fn newest(&self, digest: Digest) -> Result<ObjectMeta> {
        let folder = self.name(&[&folder(digest)]);
        let objects: Vec<_> =
            self.store.list(Some(&folder)).try_collect().await.map_err(self.failed(&folder))?;
        objects.into_iter().max_by_key(rank).ok_or(Error::NoBlob(digest))
    }

    async fn open_newest(
        &self,
        digest: Digest,
        options: GetOptions,
    ) -> Result<(Path, object_store::GetResult)> {
        let mut gone = Error::NoBlob(digest);
        // Twice: a sweep that found a newer one may have removed it since it was listed.
        for _ in 0..2 {
            let name = self.newest(digest).await?.location;
            match self.store.get_opts(&name, options.clone()).await {
                Ok(result) => return Ok((name, result)),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    gone = self.failed(&name)(error);
                    break;
                }
            }
        }
        Err(gone)
    }

    pub(super) async fn sweep(&self, store: &dyn JobStore, age: Duration) -> Result<Swept> {
        let age = i64::try_from((age + self.fresh).as_millis()).unwrap_or(i64::MAX);
        let latest = self.now().await?.saturating_sub(age);
        let mut swept = self.sweep_aside(latest).await?;
        for first in 0..=255u8 {
            let blobs = self.blobs(&format!("{first:02x}")).await?;
            let old: Vec<_> =
                blobs.iter().filter(|(_, all)| all.iter().all(|one| is_old(one, latest))).collect();
            let mut orphans = Vec::new();
            for part in old.chunks(PART) {
                orphans.extend(store.unreferenced(part.iter().map(|(digest, _)| **digest).collect()).await?);
            }
            orphans.sort_unstable();
            for (digest, objects) in &blobs {
                let orphan = orphans.binary_search(digest).is_ok();
                let newest = objects.iter().max_by_key(|one| rank(one)).map(|one| one.location.clone());
                for object in objects {
                    let spare = newest.as_ref() != Some(&object.location);
                    if is_old(object, latest) && (orphan || spare) {
                        self.remove(&object.location).await?;
                        swept.removed += 1;
                    } else {
                        swept.kept += 1;
                    }
                }
            }
        }
        Ok(swept)
    }

    /// What a crash left of telling the time.
    async fn sweep_aside(&self, latest: i64) -> Result<Swept> {
        let aside = self.name(&["aside"]);
        let left: Vec<_> = self.store.list(Some(&aside)).try_collect().await.map_err(self.failed(&aside))?;
        let mut swept = Swept::default();
        for object in left.iter().filter(|object| is_old(object, latest)) {
            self.remove(&object.location).await?;
            swept.removed += 1;
        }
        Ok(swept)
    }

    /// The objects of all blobs whose name begins so; other objects are not ours to remove.
    async fn blobs(&self, first: &str) -> Result<BTreeMap<Digest, Vec<ObjectMeta>>> {
        let folder = self.name(&[first]);
        let mut list = self.store.list(Some(&folder));
        let mut blobs = BTreeMap::<_, Vec<_>>::new();
        while let Some(object) = list.try_next().await.map_err(self.failed(&folder))? {
            let parts: Vec<_> = object.location.parts().map(|part| part.as_ref().to_owned()).collect();
            if let [.., head, tail, name] = &parts[..]
                && Uuid::parse_str(name).is_ok()
                && let Ok(digest) = format!("{head}{tail}").parse()
            {
                blobs.entry(digest).or_default().push(object);
            }
        }
        Ok(blobs)
    }

    async fn remove(&self, name: &Path) -> Result<()> {
        match self.store.delete(name).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(name)(error)),
        }
    }

    fn name(&self, parts: &[&str]) -> Path {
        Path::from(format!("{}/{}", self.prefix, parts.join("/")))
    }

    fn address(&self, name: &Path) -> String {
        let bucket = self.place.split('/').nth(2).unwrap_or_default();
        format!("s3://{bucket}/{name}")
    }

    fn failed(&self, name: &Path) -> impl FnOnce(object_store::Error) -> Error + use<> {
        let address = self.address(name);
        move |error| remote(&address, error)
    }
}

/// `ab/cdef…`
fn folder(digest: Digest) -> String {
    let name = digest.to_string();
    format!("{}/{}", &name[..2], &name[2..])
}

/// Which of a blob's objects is the newer; the same for all who ask.
fn rank(object: &ObjectMeta) -> (i64, String) {
    (object.last_modified.timestamp_millis(), object.location.to_string())
}

fn is_old(object: &ObjectMeta, latest: i64) -> bool {
    object.last_modified.timestamp_millis() <= latest
}
