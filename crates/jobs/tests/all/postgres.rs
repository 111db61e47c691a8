//! PostgreSQL: the suite, several servers on one database, and what it refuses.
//! `tests/service/postgres.sh` runs these; without it they are ignored.

use crate::suite::{Backend, START, conformance, policy};
use jobs::{Error, JobStore, ManualClock, Policy, PostgresOptions, PostgresStore, Submission};
use serde_json::json;
use std::sync::Arc;

pub const WHY: &str = "expected a URL in FOLDRY_TEST_POSTGRES; tests/service/postgres.sh sets it";

pub fn url() -> String {
    std::env::var("FOLDRY_TEST_POSTGRES").expect(WHY)
}

/// A schema that nobody else uses.
pub fn schema() -> String {
    format!("test_{}", uuid::Uuid::now_v7().simple())
}

struct Postgres {
    url: String,
    schema: String,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { url: url(), schema: schema() }
    }
}

impl Backend for Postgres {
    type Store = PostgresStore;

    async fn open(&self, policy: Policy, clock: Arc<ManualClock>) -> PostgresStore {
        let schema = self.schema.clone();
        let options = PostgresOptions { policy, clock: Some(clock), schema, ..PostgresOptions::new("one") };
        PostgresStore::open(&self.url, options).await.unwrap()
    }

    async fn close(&self, store: &PostgresStore) {
        store.close().await;
    }
}

conformance!(Postgres, #[ignore = "PostgreSQL: tests/service/postgres.sh"]);
