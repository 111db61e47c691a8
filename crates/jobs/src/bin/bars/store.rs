//! The store to measure.

use crate::Failure;
use jobs::{JobStore, Options, Policy, PostgresOptions, PostgresStore, Quotas, SqliteStore};
use std::path::PathBuf;
use std::sync::Arc;

pub enum Place {
    File(PathBuf),
    Postgres { url: String, schema: String },
}

pub enum Opened {
    File(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

/// Limits that do not limit, but are counted.
fn policy() -> Policy {
    let quotas = Quotas { queued: 100_000, running: 1_000, weight_per_day: 1 << 40 };
    Policy { quotas, ..Policy::default() }
}

impl Place {
    pub fn new(arguments: &[String]) -> Result<Self, Failure> {
        match arguments {
            [kind, folder] if kind == "sqlite" => Ok(Self::File(PathBuf::from(folder).join("bars.db"))),
            [kind, url] if kind == "postgres" => {
                let schema = format!("bars_{}", std::process::id());
                Ok(Self::Postgres { url: url.clone(), schema })
            }
            other => Err(format!("expected `sqlite FOLDER` or `postgres URL`, found {other:?}").into()),
        }
    }

    pub async fn open(&self) -> Result<Opened, Failure> {
        let policy = policy();
        Ok(match self {
            Self::File(path) => {
                let options = Options { policy, ..Options::default() };
                Opened::File(Arc::new(SqliteStore::open(path, options).await?))
            }
            Self::Postgres { url, schema } => {
                let options =
                    PostgresOptions { policy, schema: schema.clone(), ..PostgresOptions::new("bars") };
                Opened::Postgres(Arc::new(PostgresStore::open(url, options).await?))
            }
        })
    }
}

impl Opened {
    pub fn jobs(&self) -> Arc<dyn JobStore> {
        match self {
            Self::File(store) => store.clone(),
            Self::Postgres(store) => store.clone(),
        }
    }

    pub async fn close(self) {
        match self {
            Self::File(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}
