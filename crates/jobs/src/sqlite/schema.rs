//! The tables, and how a file of an older version becomes one of this version.

use crate::sql::STEPS;
use crate::{Error, Result};
use sqlx::SqliteConnection;
use std::path::Path;

/// "Fold" in ASCII, in the file's header: a database of another program is refused before anything is written.
const APPLICATION: i64 = 0x466f_6c64;

/// The version of the file's tables; 0 of a new file.
/// # Errors  `Damaged` if it is newer than this program, or the file is another program's.
pub(super) async fn version(db: &mut SqliteConnection, path: &Path) -> Result<usize> {
    let application = pragma(db, "PRAGMA application_id").await?;
    let version = pragma(db, "PRAGMA user_version").await?;
    let tables = pragma(db, "SELECT count(*) FROM sqlite_schema").await?;
    let fresh = application == 0 && version == 0 && tables == 0;
    if application != APPLICATION && !fresh {
        let found = format!("application id {application:#x}");
        return Err(Error::damaged(path, format!("a job database, application id {APPLICATION:#x}"), found));
    }
    let newest = STEPS.len();
    usize::try_from(version).ok().filter(|&done| done <= newest).ok_or_else(|| {
        Error::damaged(path, format!("version {newest} or older"), format!("version {version} of its tables"))
    })
}

/// Brings tables of a version to this one.
pub(super) async fn migrate(db: &mut SqliteConnection, version: usize) -> Result<()> {
    for (done, sql) in (version..).zip(&STEPS[version..]) {
        // One transaction a step: a crash leaves the old version whole.
        let whole = format!(
            "BEGIN IMMEDIATE; {sql}; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}; COMMIT",
            done + 1
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(whole))
            .execute(&mut *db)
            .await
            .map_err(Error::database("migration"))?;
    }
    Ok(())
}

async fn pragma(db: &mut SqliteConnection, sql: &'static str) -> Result<i64> {
    sqlx::query_scalar(sql).fetch_one(db).await.map_err(Error::database("header"))
}
