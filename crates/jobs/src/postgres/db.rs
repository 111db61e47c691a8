//! The shared SQL on PostgreSQL.

use crate::sql::{Db, Flavour, Hold, Lock, Row, Value};
use crate::{Error, Result};
use async_trait::async_trait;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres};

fn query<'q>(lock: Lock, sql: &'static str, values: &'q [Value<'_>]) -> Query<'q, Postgres, PgArguments> {
    // Constants of this crate only.
    let mut query = match lock {
        Lock::None => sqlx::query(sql),
        Lock::Wait => sqlx::query(AssertSqlSafe(format!("{sql} FOR UPDATE"))),
        Lock::Skip => sqlx::query(AssertSqlSafe(format!("{sql} FOR UPDATE SKIP LOCKED"))),
    };
    for value in values {
        query = match value {
            Value::Integer(number) => query.bind(*number),
            // The one character a text cannot hold here; a message that has it must not keep a job from ending.
            Value::Text(Some(text)) if text.contains('\0') => query.bind(text.replace('\0', "\u{fffd}")),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Bytes(bytes) => query.bind(*bytes),
        };
    }
    query
}

#[async_trait]
impl Db for PgConnection {
    fn flavour(&self) -> Flavour {
        Flavour::Postgres
    }

    async fn rows(
        &mut self,
        what: &'static str,
        lock: Lock,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>> {
        let rows = query(lock, sql, values).fetch_all(self).await.map_err(Error::database(what))?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    async fn change(&mut self, what: &'static str, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        let done = query(Lock::None, sql, values).execute(self).await.map_err(Error::database(what))?;
        Ok(done.rows_affected())
    }

    async fn hold(&mut self, what: Hold<'_>) -> Result<()> {
        let (kind, tenant) = match what {
            Hold::Accepting(tenant) => ("accepting", tenant),
            Hold::Running(tenant) => ("running", tenant),
        };
        // Two names with one hash wait for each other without need, no more.
        let sql =
            "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1 || ' ' || $2, 0))";
        self.change("lock", sql, &[kind.into(), tenant.into()]).await?;
        Ok(())
    }
}
