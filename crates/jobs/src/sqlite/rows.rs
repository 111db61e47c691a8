//! From rows to values.

use crate::{Error, Event, Job, JobId, Reason, Result, State, Timestamp};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row, Sqlite, SqliteConnection, Type};

/// One job.
/// # Errors  `Unknown`.
pub(super) async fn job(db: &mut SqliteConnection, id: JobId) -> Result<Job> {
    let row = sqlx::query("SELECT * FROM jobs WHERE id = ?")
        .bind(id.to_string())
        .fetch_optional(db)
        .await
        .map_err(Error::database("job"))?;
    row.as_ref().map_or(Err(Error::Unknown(id)), job_of)
}

pub(super) fn job_of(row: &SqliteRow) -> Result<Job> {
    let time = |name| Ok::<_, Error>(column::<Option<i64>>(row, name)?.map(Timestamp));
    let code: Option<String> = column(row, "code")?;
    let message: Option<String> = column(row, "message")?;
    Ok(Job {
        id: read(row, "id", |text| text.parse().ok())?,
        seq: column(row, "seq")?,
        tenant: column(row, "tenant")?,
        request: read(row, "request", json)?,
        priority: column(row, "priority")?,
        state: read(row, "state", State::parse)?,
        attempts: column(row, "attempts")?,
        max_attempts: column(row, "max_attempts")?,
        fence: column(row, "fence")?,
        worker: column(row, "worker")?,
        due: time("due")?,
        lease: time("lease")?,
        created: Timestamp(column(row, "created")?),
        started: time("started")?,
        finished: time("finished")?,
        last_event: column(row, "last_event")?,
        result: match column::<Option<String>>(row, "result")? {
            Some(_) => Some(read(row, "result", json)?),
            None => None,
        },
        reason: code.zip(message).map(|(code, message)| Reason { code, message }),
        expired: column(row, "expired")?,
        reused: match column::<Option<String>>(row, "reused")? {
            Some(_) => Some(read(row, "reused", |text| text.parse().ok())?),
            None => None,
        },
    })
}

pub(super) fn event_of(row: &SqliteRow) -> Result<Event> {
    Ok(Event {
        seq: column(row, "seq")?,
        at: Timestamp(column(row, "at")?),
        kind: column(row, "kind")?,
        data: read(row, "data", json)?,
    })
}

pub(super) fn column<'r, T>(row: &'r SqliteRow, name: &'static str) -> Result<T>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(name).map_err(Error::database(name))
}

/// A text column that has a form of its own.
pub(super) fn read<T>(row: &SqliteRow, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    let text: String = column(row, name)?;
    parse(&text).ok_or_else(|| {
        // Never the text itself: requests hold sequences.
        let found = format!("{} bytes that are none", text.len());
        Error::database(name)(sqlx::Error::Decode(format!("expected its form, found {found}").into()))
    })
}

fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}
