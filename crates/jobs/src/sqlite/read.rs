//! What is only read, on connections of its own: it neither waits for the writer nor holds it up.

use super::rows::{column, event_of, job_of, read};
use crate::{Digest, Error, Event, FAR, Job, JobId, Query, Result, State, Stats, Timestamp};
use sqlx::{Row, Sqlite, SqlitePool, pool::PoolConnection};

pub(super) struct Readers(pub(super) SqlitePool);

impl Readers {
    async fn connection(&self) -> Result<PoolConnection<Sqlite>> {
        self.0.acquire().await.map_err(|error| match error {
            sqlx::Error::PoolClosed => Error::Closed,
            other => Error::database("reader")(other),
        })
    }

    pub(super) async fn get(&self, id: JobId) -> Result<Job> {
        super::rows::job(&mut *self.connection().await?, id).await
    }

    pub(super) async fn list(&self, query: &Query) -> Result<Vec<Job>> {
        // Four texts, so that each has the index it needs.
        let (tenant, state) = (query.tenant.as_deref(), query.state.map(State::as_str));
        let sql = match (tenant, state) {
            (None, None) => "SELECT * FROM jobs WHERE seq < ?3 ORDER BY seq DESC LIMIT ?4",
            (Some(_), None) => "SELECT * FROM jobs WHERE tenant = ?1 AND seq < ?3 ORDER BY seq DESC LIMIT ?4",
            (None, Some(_)) => "SELECT * FROM jobs WHERE state = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4",
            (Some(_), Some(_)) => {
                "SELECT * FROM jobs WHERE tenant = ?1 AND state = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"
            }
        };
        let rows = sqlx::query(sql)
            .bind(tenant)
            .bind(state)
            .bind(query.before.unwrap_or(i64::MAX))
            .bind(query.limit)
            .fetch_all(&mut *self.connection().await?)
            .await
            .map_err(Error::database("list"))?;
        rows.iter().map(job_of).collect()
    }

    pub(super) async fn events(&self, id: JobId, after: i64, limit: u32) -> Result<Vec<Event>> {
        let mut db = self.connection().await?;
        let seq = super::rows::job(&mut db, id).await?.seq;
        let rows = sqlx::query("SELECT * FROM events WHERE job = ? AND seq > ? ORDER BY seq LIMIT ?")
            .bind(seq)
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *db)
            .await
            .map_err(Error::database("events"))?;
        rows.iter().map(event_of).collect()
    }

    pub(super) async fn position(&self, id: JobId) -> Result<Option<u64>> {
        let mut db = self.connection().await?;
        let job = super::rows::job(&mut db, id).await?;
        if job.state != State::Queued {
            return Ok(None);
        }
        // Two ranges of the index that claims go by.
        let ahead: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM (
                SELECT * FROM (SELECT 1 FROM jobs WHERE state IN ('queued', 'retry_wait') AND priority > ?1 LIMIT ?3)
                UNION ALL
                SELECT * FROM (SELECT 1 FROM jobs
                    WHERE state IN ('queued', 'retry_wait') AND priority = ?1 AND seq < ?2 LIMIT ?3))",
        )
        .bind(job.priority)
        .bind(job.seq)
        .bind(FAR as i64)
        .fetch_one(&mut *db)
        .await
        .map_err(Error::database("position"))?;
        Ok(Some(ahead.unsigned_abs().min(FAR)))
    }

    pub(super) async fn unreferenced(&self, blobs: Vec<Digest>) -> Result<Vec<Digest>> {
        let mut db = self.connection().await?;
        let mut orphans = Vec::new();
        for blob in blobs {
            let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = ?)")
                .bind(&blob.as_bytes()[..])
                .fetch_one(&mut *db)
                .await
                .map_err(Error::database("blobs"))?;
            if !known {
                orphans.push(blob);
            }
        }
        Ok(orphans)
    }

    pub(super) async fn stats(&self) -> Result<Stats> {
        let mut db = self.connection().await?;
        let rows = sqlx::query("SELECT state, count(*) AS jobs FROM jobs GROUP BY state")
            .fetch_all(&mut *db)
            .await
            .map_err(Error::database("stats"))?;
        let mut jobs: std::collections::BTreeMap<_, _> = State::ALL.map(|state| (state, 0)).into();
        for row in &rows {
            jobs.insert(read(row, "state", State::parse)?, column::<i64>(row, "jobs")?.unsigned_abs());
        }
        let oldest = sqlx::query("SELECT created FROM jobs WHERE state = 'queued' ORDER BY seq LIMIT 1")
            .fetch_optional(&mut *db)
            .await
            .map_err(Error::database("stats"))?;
        let oldest_queued = match oldest {
            Some(row) => Some(Timestamp(row.try_get(0).map_err(Error::database("stats"))?)),
            None => None,
        };
        Ok(Stats { jobs, oldest_queued })
    }
}
