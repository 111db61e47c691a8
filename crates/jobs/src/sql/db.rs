//! A connection, of either database.

use super::rows::Row;
use super::value::Value;
use crate::{Error, Result};
use async_trait::async_trait;

/// What happens to the rows a SELECT returns until the transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Nothing.
    None,
    /// Nobody else changes them; the query waits for whoever does.
    Wait,
    /// Nobody else changes them; those that somebody else holds are left out.
    Skip,
}

/// What only one transaction at a time may decide about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold<'a> {
    /// Which jobs of a tenant are accepted: its keys and quotas.
    Accepting(&'a str),
    /// How many jobs of a tenant run.
    Running(&'a str),
}

/// Which of the two it is, where their planners need different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Sqlite,
    Postgres,
}

/// The little that operations need of a database. `what` names the statement in errors.
#[async_trait]
pub(crate) trait Db: Send {
    /// Which database it is.
    fn flavour(&self) -> Flavour;

    /// Rows of a statement. Locks are for plain SELECTs only.
    async fn rows(
        &mut self,
        what: &'static str,
        lock: Lock,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>>;

    /// Runs a statement; how many rows it changed.
    async fn change(&mut self, what: &'static str, sql: &'static str, values: &[Value<'_>]) -> Result<u64>;

    /// Waits until nobody else holds it, then holds it until the transaction ends.
    async fn hold(&mut self, what: Hold<'_>) -> Result<()>;
}

impl dyn Db + '_ {
    /// The first row, if any.
    pub(crate) async fn first(
        &mut self,
        what: &'static str,
        lock: Lock,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>> {
        Ok(self.rows(what, lock, sql, values).await?.into_iter().next())
    }

    /// The row of a statement that always has one.
    pub(crate) async fn one(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Row> {
        let row = self.first(what, Lock::None, sql, values).await?;
        row.ok_or_else(|| Error::database(what)(sqlx::Error::RowNotFound))
    }

    /// The whole number of a statement that always has one, in its column `n`.
    pub(crate) async fn number(
        &mut self,
        what: &'static str,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<i64> {
        self.one(what, sql, values).await?.get("n")
    }
}
