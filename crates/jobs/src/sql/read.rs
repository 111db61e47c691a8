//! What is only read.

use super::db::{Db, Flavour, Lock};
use super::rows::job;
use super::value::values;
use crate::{Digest, Event, FAR, Job, JobId, Query, Result, State, Stats, Timestamp};
use std::collections::BTreeMap;

pub(crate) async fn get(db: &mut dyn Db, id: JobId) -> Result<Job> {
    job(db, Lock::None, id).await
}

pub(crate) async fn list(db: &mut dyn Db, query: &Query) -> Result<Vec<Job>> {
    let (before, limit) = (query.before.unwrap_or(i64::MAX), query.limit);
    // Four texts, so that each has the index it needs.
    let (sql, values) = match (query.tenant.as_deref(), query.state.map(State::as_str)) {
        (None, None) => {
            ("SELECT * FROM jobs WHERE seq < $1 ORDER BY seq DESC LIMIT $2", values![before, limit].to_vec())
        }
        (Some(tenant), None) => (
            "SELECT * FROM jobs WHERE tenant = $3 AND seq < $1 ORDER BY seq DESC LIMIT $2",
            values![before, limit, tenant].to_vec(),
        ),
        (None, Some(state)) => (
            "SELECT * FROM jobs WHERE state = $3 AND seq < $1 ORDER BY seq DESC LIMIT $2",
            values![before, limit, state].to_vec(),
        ),
        (Some(tenant), Some(state)) => (
            "SELECT * FROM jobs WHERE tenant = $3 AND state = $4 AND seq < $1 ORDER BY seq DESC LIMIT $2",
            values![before, limit, tenant, state].to_vec(),
        ),
    };
    db.rows("list", Lock::None, sql, &values).await?.iter().map(super::rows::Row::job).collect()
}

pub(crate) async fn events(db: &mut dyn Db, id: JobId, after: i64, limit: u32) -> Result<Vec<Event>> {
    let seq = get(db, id).await?.seq;
    let sql = "SELECT * FROM events WHERE job = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    let rows = db.rows("events", Lock::None, sql, values![seq, after, limit]).await?;
    rows.iter().map(super::rows::Row::event).collect()
}

pub(crate) async fn position(db: &mut dyn Db, id: JobId) -> Result<Option<u64>> {
    let job = get(db, id).await?;
    if job.state != State::Queued {
        return Ok(None);
    }
    // Two ranges of the index that claims go by.
    macro_rules! ahead {
        ($by:literal) => {
            concat!(
                "SELECT (SELECT count(*) FROM (SELECT 1 FROM jobs ",
                $by,
                " WHERE state IN ('queued', 'retry_wait') AND priority > $1 LIMIT $3) AS more)
                + (SELECT count(*) FROM (SELECT 1 FROM jobs ",
                $by,
                " WHERE state IN ('queued', 'retry_wait') AND priority = $1 AND seq < $2 LIMIT $3) AS older) AS n"
            )
        };
    }
    let sql = match db.flavour() {
        Flavour::Sqlite => ahead!("INDEXED BY jobs_waiting"),
        Flavour::Postgres => ahead!(""),
    };
    let ahead = db.number("position", sql, values![job.priority, job.seq, FAR as i64]).await?;
    Ok(Some(ahead.unsigned_abs().min(FAR)))
}

pub(crate) async fn unreferenced(db: &mut dyn Db, blobs: &[Digest]) -> Result<Vec<Digest>> {
    let mut orphans = Vec::new();
    for blob in blobs {
        let sql = "SELECT count(*) AS n FROM (SELECT 1 FROM blobs WHERE digest = $1 LIMIT 1) AS known";
        if db.number("blobs", sql, values![blob]).await? == 0 {
            orphans.push(*blob);
        }
    }
    Ok(orphans)
}

pub(crate) async fn stats(db: &mut dyn Db) -> Result<Stats> {
    let mut jobs: BTreeMap<_, _> = State::ALL.map(|state| (state, 0)).into();
    let sql = "SELECT state, count(*) AS n FROM jobs GROUP BY state";
    for row in db.rows("stats", Lock::None, sql, &[]).await? {
        jobs.insert(row.read("state", State::parse)?, row.number("n")?);
    }
    let sql = "SELECT created FROM jobs WHERE state = 'queued' ORDER BY seq LIMIT 1";
    let oldest_queued = match db.first("stats", Lock::None, sql, &[]).await? {
        Some(row) => Some(Timestamp(row.get("created")?)),
        None => None,
    };
    Ok(Stats { jobs, oldest_queued })
}
