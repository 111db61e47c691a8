//! From rows to values.

use super::db::{Db, Lock};
use super::value::values;
use crate::{Error, Event, Job, JobId, Reason, Result, State, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};

/// A row of either database.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// A column: whole numbers are `i64`, texts `String`, bytes `Vec<u8>`, or `Option`s of them.
    pub(crate) fn get<T>(&self, name: &'static str) -> Result<T>
    where
        T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(name),
            Self::Postgres(row) => row.try_get(name),
        }
        .map_err(Error::database(name))
    }

    /// A whole number of another size.
    pub(crate) fn number<T: TryFrom<i64>>(&self, name: &'static str) -> Result<T> {
        let number: i64 = self.get(name)?;
        T::try_from(number).map_err(|_| no_form(name, format_args!("{number}")))
    }

    /// A text column that has a form of its own.
    pub(crate) fn read<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
        let text: String = self.get(name)?;
        // Never the text itself: requests hold sequences.
        parse(&text).ok_or_else(|| no_form(name, format_args!("{} bytes that are none", text.len())))
    }

    /// Such a column that may be NULL.
    fn maybe<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        match self.get::<Option<String>>(name)? {
            Some(_) => self.read(name, parse).map(Some),
            None => Ok(None),
        }
    }

    fn time(&self, name: &'static str) -> Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>(name)?.map(Timestamp))
    }

    pub(super) fn job_id(&self, name: &'static str) -> Result<JobId> {
        self.read(name, id)
    }

    /// A row of `jobs`.
    pub(crate) fn job(&self) -> Result<Job> {
        let code: Option<String> = self.get("code")?;
        let message: Option<String> = self.get("message")?;
        Ok(Job {
            id: self.job_id("id")?,
            seq: self.get("seq")?,
            tenant: self.get("tenant")?,
            request: self.read("request", json)?,
            priority: self.number("priority")?,
            state: self.read("state", State::parse)?,
            attempts: self.number("attempts")?,
            max_attempts: self.number("max_attempts")?,
            fence: self.get("fence")?,
            worker: self.get("worker")?,
            due: self.time("due")?,
            lease: self.time("lease")?,
            created: Timestamp(self.get("created")?),
            started: self.time("started")?,
            finished: self.time("finished")?,
            last_event: self.get("last_event")?,
            result: self.maybe("result", json)?,
            reason: code.zip(message).map(|(code, message)| Reason { code, message }),
            expired: self.get::<i64>("expired")? != 0,
            reused: self.maybe("reused", id)?,
        })
    }

    /// A row of `events`.
    pub(super) fn event(&self) -> Result<Event> {
        Ok(Event {
            seq: self.get("seq")?,
            at: Timestamp(self.get("at")?),
            kind: self.get("kind")?,
            data: self.read("data", json)?,
        })
    }
}

/// One job.
/// # Errors  `Unknown`.
pub(super) async fn job(db: &mut dyn Db, lock: Lock, id: JobId) -> Result<Job> {
    let row = db.first("job", lock, "SELECT * FROM jobs WHERE id = $1", values![id]).await?;
    row.map_or(Err(Error::Unknown(id)), |row| row.job())
}

fn no_form(name: &'static str, found: std::fmt::Arguments<'_>) -> Error {
    Error::database(name)(sqlx::Error::Decode(format!("expected its form, found {found}").into()))
}

fn id(text: &str) -> Option<JobId> {
    text.parse().ok()
}

fn json(text: &str) -> Option<serde_json::Value> {
    serde_json::from_str(text).ok()
}
