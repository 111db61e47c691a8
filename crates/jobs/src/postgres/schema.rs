//! The tables, and how a schema of an older version becomes one of this version.

use crate::sql::{STEPS, for_postgres};
use crate::{Error, Result};
use sqlx::{AssertSqlSafe, PgConnection};

/// Brings the schema to this version, all or nothing; one server at a time.
/// # Errors  `Damaged` if it is newer than this program, or another program's.
pub(super) async fn migrate(db: &mut PgConnection, schema: &str, place: &str) -> Result<()> {
    let encoding: String = sqlx::query_scalar("SHOW server_encoding")
        .fetch_one(&mut *db)
        .await
        .map_err(Error::database("encoding"))?;
    if encoding != "UTF8" {
        return Err(Error::damaged(place.as_ref(), "a database in UTF8", encoding));
    }
    raw(db, "BEGIN").await?;
    let done = steps(db, schema, place).await;
    raw(db, if done.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    done
}

async fn steps(db: &mut PgConnection, schema: &str, place: &str) -> Result<()> {
    // Servers that start together: the others wait here, and then find nothing to do.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('foldry migration ' || $1, 0))")
        .bind(schema)
        .execute(&mut *db)
        .await
        .map_err(Error::database("migration lock"))?;
    // Asked first: a user who may use the schema may not be allowed to make one.
    let there = count(db, "SELECT count(*) FROM pg_namespace WHERE nspname = $1", schema).await? > 0;
    if !there {
        raw(db, format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    let sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = $1";
    let tables = count(db, sql, schema).await?;
    let sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = $1 AND table_name = 'foldry_version'";
    let ours = count(db, sql, schema).await? > 0;
    if tables > 0 && !ours {
        let expected = format!("an empty schema {schema:?} or a job database");
        return Err(Error::damaged(place.as_ref(), expected, format!("{tables} tables of another program")));
    }
    if !ours {
        raw(
            db,
            "CREATE TABLE foldry_version (version BIGINT NOT NULL); INSERT INTO foldry_version VALUES (0)",
        )
        .await?;
    }
    let version: i64 = sqlx::query_scalar("SELECT version FROM foldry_version")
        .fetch_one(&mut *db)
        .await
        .map_err(Error::database("version"))?;
    let newest = STEPS.len();
    let done = usize::try_from(version).ok().filter(|&done| done <= newest).ok_or_else(|| {
        let expected = format!("version {newest} or older");
        Error::damaged(place.as_ref(), expected, format!("version {version} of its tables"))
    })?;
    for sql in &STEPS[done..] {
        raw(db, for_postgres(sql)).await?;
    }
    if done < newest {
        raw(db, format!("UPDATE foldry_version SET version = {newest}")).await?;
    }
    Ok(())
}

async fn raw(db: &mut PgConnection, sql: impl Into<String>) -> Result<()> {
    // Constants and a checked name only.
    let done = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(db).await;
    done.map(|_| ()).map_err(Error::database("migration"))
}

async fn count(db: &mut PgConnection, sql: &'static str, schema: &str) -> Result<i64> {
    sqlx::query_scalar(sql).bind(schema).fetch_one(db).await.map_err(Error::database("tables"))
}
