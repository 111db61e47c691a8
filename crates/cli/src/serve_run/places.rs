//! Opens the queue and the blobs.

use super::settings::{BlobPlace, Settings, StorePlace};
use anyhow::Context;
use jobs::{Blobs, JobStore, Options, Reap, SqliteStore};
use std::sync::Arc;

/// The queue, and how it is closed.
pub enum Store {
    /// In a file.
    File(Arc<SqliteStore>),
}

impl Store {
    /// Opens it, and takes back what a server that was killed left running.
    ///
    /// # Errors  what the store says, naming the place.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let options = Options { policy: settings.policy.clone(), ..Options::default() };
        match &settings.store {
            StorePlace::File(file) => {
                std::fs::create_dir_all(&settings.data)
                    .with_context(|| settings.data.display().to_string())?;
                let store = SqliteStore::open(file, options).await?;
                // All workers were this server's children, and it is gone.
                while !store.reap(Reap::Boot).await?.is_empty() {}
                Ok(Self::File(Arc::new(store)))
            }
            StorePlace::Postgres(_) => anyhow::bail!("postgres is not in this version"),
        }
    }

    /// For whoever uses it.
    pub fn shared(&self) -> Arc<dyn JobStore> {
        match self {
            Self::File(store) => store.clone(),
        }
    }

    /// Finishes what is waiting and closes it.
    pub async fn close(&self) {
        match self {
            Self::File(store) => store.close().await,
        }
    }
}

/// Opens the blobs.
///
/// # Errors  what the folder or the object store says.
pub fn blobs(settings: &Settings) -> anyhow::Result<Blobs> {
    match &settings.blobs {
        BlobPlace::Folder(folder) => Ok(Blobs::open(folder)?),
        BlobPlace::S3(_) => anyhow::bail!("s3 is not in this version"),
    }
}
