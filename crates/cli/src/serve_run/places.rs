//! Opens the queue and the blobs.

use super::settings::{BlobPlace, Settings, StorePlace};
use crate::failure::bad_input;
use jobs::{Blobs, JobStore, Options, PostgresOptions, PostgresStore, Probe, Reap, SqliteStore};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A server's own folder, held by one process at a time.
pub struct Place {
    /// Who this server is among all that share a store. It keeps this name over restarts: the same folder on the same host.
    pub name: String,
    _lock: File,
}

impl Place {
    /// Takes the folder; makes it if it is not there.
    ///
    /// # Errors  bad input: it cannot be made, or another server has it.
    pub fn take(data: &Path) -> anyhow::Result<Self> {
        let at = |error: std::io::Error| bad_input(format!("--data {}: {error}", data.display()));
        std::fs::create_dir_all(data).map_err(at)?;
        let lock = File::options().create(true).append(true).open(data.join("lock")).map_err(at)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                let data = data.display();
                return Err(bad_input(format!(
                    "--data {data}: expected no other server or worker on it, found one"
                )));
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(at(error)),
        }
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let folder = data.canonicalize().map_err(at)?;
        let digest = jobs::Digest::of(folder.as_os_str().as_encoded_bytes()).to_string();
        Ok(Self { name: format!("{host}-{}", &digest[..8]), _lock: lock })
    }
}

/// The queue, and how it is closed.
pub enum Store {
    /// In a file.
    File(Arc<SqliteStore>),
    /// In a database.
    Postgres(Arc<PostgresStore>),
}

impl Store {
    /// Opens it, and takes back what a server that was killed left running.
    ///
    /// # Errors  what the store says, naming the place.
    pub async fn open(settings: &Settings, place: &Place) -> anyhow::Result<Self> {
        let policy = settings.policy.clone();
        let store = match &settings.store {
            StorePlace::File(file) => {
                let options = Options { policy, probe: probe()?, ..Options::default() };
                Self::File(Arc::new(SqliteStore::open(file, options).await?))
            }
            StorePlace::Postgres(url) => {
                let options =
                    PostgresOptions { policy, probe: probe()?, ..PostgresOptions::new(&place.name) };
                Self::Postgres(Arc::new(PostgresStore::open(url, options).await?))
            }
        };
        // Workers of this server were its children, and it is gone; of others this ends nothing.
        while !store.shared().reap(Reap::Boot).await?.is_empty() {}
        Ok(store)
    }

    /// For whoever uses it.
    pub fn shared(&self) -> Arc<dyn JobStore> {
        match self {
            Self::File(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    /// Finishes what is waiting and closes it.
    pub async fn close(&self) {
        match self {
            Self::File(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// Opens the blobs.
///
/// # Errors  bad input: settings of the object store that are missing. What the folder or the object store says.
pub async fn blobs(settings: &Settings) -> anyhow::Result<Blobs> {
    match &settings.blobs {
        BlobPlace::Folder(folder) => {
            let blobs = Blobs::open(folder)?;
            Ok(match probe()? {
                Some(probe) => blobs.probed(probe),
                None => blobs,
            })
        }
        BlobPlace::S3(url) => bucket(url).await,
    }
}

/// Where this process is to end itself: in builds for tests only.
#[cfg(debug_assertions)]
fn probe() -> anyhow::Result<Option<Arc<dyn Probe>>> {
    super::failpoint::probe()
}

#[cfg(not(debug_assertions))]
fn probe() -> anyhow::Result<Option<Arc<dyn Probe>>> {
    Ok(None)
}

/// The bucket of `s3://BUCKET/PREFIX`; who asks is told by the variables that all of its clients read.
#[cfg(feature = "s3")]
async fn bucket(url: &str) -> anyhow::Result<Blobs> {
    let place = url.strip_prefix("s3://").unwrap_or(url);
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(bad_input(format!("--blobs {url}: expected s3://BUCKET/PREFIX, found no bucket")));
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let needed =
        |name: &str| variable(name).ok_or_else(|| bad_input(format!("--blobs {url}: {name} is not set")));
    let options = jobs::S3Options {
        endpoint: variable("AWS_ENDPOINT").or_else(|| variable("AWS_ENDPOINT_URL")),
        region: variable("AWS_REGION").unwrap_or_else(|| "us-east-1".into()),
        bucket: bucket.into(),
        prefix: prefix.trim_matches('/').into(),
        access_key_id: needed("AWS_ACCESS_KEY_ID")?,
        secret_access_key: needed("AWS_SECRET_ACCESS_KEY")?,
        fresh: FRESH,
    };
    Ok(Blobs::s3(options).await?)
}

/// Far less than a sweep's least age.
#[cfg(feature = "s3")]
const FRESH: std::time::Duration = std::time::Duration::from_secs(300);

#[cfg(not(feature = "s3"))]
async fn bucket(url: &str) -> anyhow::Result<Blobs> {
    Err(bad_input(format!("--blobs {url}: expected a folder, as this build has no `--features s3`")))
}
