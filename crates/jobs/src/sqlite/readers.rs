//! Connections that only read: they neither wait for the writer nor hold it up.

use crate::{Digest, Error, Event, Job, JobId, Query, Result, Stats, sql};
use sqlx::{Sqlite, SqlitePool, pool::PoolConnection};

pub(super) struct Readers(pub(super) SqlitePool);

impl Readers {
    async fn connection(&self) -> Result<PoolConnection<Sqlite>> {
        self.0.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolClosed => Error::Closed,
            other => Error::database("reader")(other),
        })
    }

    pub(super) async fn get(&self, id: JobId) -> Result<Job> {
        sql::get(&mut *self.connection().await?, id).await
    }

    pub(super) async fn list(&self, query: &Query) -> Result<Vec<Job>> {
        sql::list(&mut *self.connection().await?, query).await
    }

    pub(super) async fn events(&self, id: JobId, after: i64, limit: u32) -> Result<Vec<Event>> {
        sql::events(&mut *self.connection().await?, id, after, limit).await
    }

    pub(super) async fn position(&self, id: JobId) -> Result<Option<u64>> {
        sql::position(&mut *self.connection().await?, id).await
    }

    pub(super) async fn unreferenced(&self, blobs: Vec<Digest>) -> Result<Vec<Digest>> {
        sql::unreferenced(&mut *self.connection().await?, &blobs).await
    }

    pub(super) async fn stats(&self) -> Result<Stats> {
        sql::stats(&mut *self.connection().await?).await
    }
}
