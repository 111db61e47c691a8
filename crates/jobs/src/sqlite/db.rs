//! The shared SQL on SQLite.

use crate::sql::{Db, Flavour, Hold, Lock, Row, Value};
use crate::{Error, Result};
use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection};

fn query<'q>(sql: &'static str, values: &'q [Value<'_>]) -> Query<'q, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(sql);
    for value in values {
        query = match value {
            Value::Integer(number) => query.bind(*number),
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Bytes(bytes) => query.bind(*bytes),
        };
    }
    query
}

#[async_trait]
impl Db for SqliteConnection {
    fn flavour(&self) -> Flavour {
        Flavour::Sqlite
    }

    // One task writes, so a lock has nobody to shut out.
    async fn rows(
        &mut self,
        what: &'static str,
        _lock: Lock,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>> {
        let rows = query(sql, values).fetch_all(self).await.map_err(Error::database(what))?;
        Ok(rows.into_iter().map(Row::Sqlite).collect())
    }

    async fn change(&mut self, what: &'static str, sql: &'static str, values: &[Value<'_>]) -> Result<u64> {
        let done = query(sql, values).execute(self).await.map_err(Error::database(what))?;
        Ok(done.rows_affected())
    }

    async fn hold(&mut self, _what: Hold<'_>) -> Result<()> {
        Ok(())
    }
}
