//! Opens either store.

use crate::{Failure, settings};
use jobs::{JobStore, Options, Policy, PostgresOptions, PostgresStore, Probe, SqliteStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub async fn open(database: &str, probe: Option<Arc<dyn Probe>>) -> Result<Arc<dyn JobStore>, Failure> {
    let mut policy = Policy::default();
    if let Some(lease) = settings::millis("CHURN_LEASE")? {
        // Lost workers are the test, not poison.
        policy = Policy { lease, backoff: lease / 4, max_attempts: 1000, worker_deaths: 1000, ..policy };
    }
    if database.starts_with("postgres://") {
        let schema = std::env::var("CHURN_SCHEMA")?;
        let patience = Duration::from_secs(3);
        let options = PostgresOptions { policy, probe, schema, patience, ..PostgresOptions::new("churn") };
        Ok(Arc::new(PostgresStore::open(database, options).await?))
    } else {
        let options = Options { policy, probe, ..Options::default() };
        Ok(Arc::new(SqliteStore::open(Path::new(database), options).await?))
    }
}
