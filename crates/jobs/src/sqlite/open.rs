//! Opening: one server a file, an undamaged file, this version's tables.

use super::readers::Readers;
use super::writer::Writer;
use super::{Options, SqliteStore, schema};
use crate::{Error, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, SqliteConnection};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, broadcast};

/// Connections that only read.
const READERS: u32 = 4;
/// Hints a slow listener may fall behind before it misses some.
const HINTS: usize = 4096;

pub(super) async fn open(path: &Path, options: Options) -> Result<SqliteStore> {
    let lock = lock(path).await?;
    let connect = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(options.busy)
        .foreign_keys(true)
        .disable_statement_logging();
    let mut db = connect
        .clone()
        .create_if_missing(true)
        .connect()
        .await
        .map_err(|error| super::named(Error::database("open")(error), path))?;
    check(&mut db, path).await?;
    let version = schema::version(&mut db, path).await.map_err(|error| super::named(error, path))?;
    // Only now may anything be written: the write-ahead log, and FULL: a commit returns when it is on disk.
    let settings =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864";
    sqlx::raw_sql(settings)
        .execute(&mut db)
        .await
        .map_err(|error| super::named(Error::database("settings")(error), path))?;
    schema::migrate(&mut db, version).await.map_err(|error| super::named(error, path))?;

    let readers =
        SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(connect.read_only(true));
    let (hints, _) = broadcast::channel(HINTS);
    let writer = Writer {
        db,
        path: path.to_owned(),
        clock: options.clock,
        policy: options.policy,
        probe: options.probe,
        hints: hints.clone(),
        lock,
    };
    let (queue, task) = writer.start();
    Ok(SqliteStore { queue, readers: Readers(readers), hints, task: Mutex::new(Some(task)) })
}

/// How long a lock is asked for again. A program that is being started by this process holds a copy of every lock until it
/// runs, also of one that was just given up.
const PATIENCE: Duration = Duration::from_secs(1);

/// A lock beside the file that ends with the process: two writers would each be a server that reaps the other's jobs.
async fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = Path::new(&name);
    let file =
        File::options().create(true).write(true).truncate(false).open(name).map_err(Error::io(name))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(Error::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(Error::io(name)(error)),
        }
    }
}

/// Refuses a damaged file: accepting jobs into one would lose them. Structure and indexes are checked; SQLite has no
/// checksum over a page, so a flipped bit inside a text is not seen.
async fn check(db: &mut SqliteConnection, path: &Path) -> Result<()> {
    let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_all(&mut *db)
        .await
        .map_err(|error| super::named(Error::database("integrity check")(error), path))?;
    match found.first().map(String::as_str) {
        Some("ok") => Ok(()),
        other => Err(Error::damaged(path, "an undamaged database", other.unwrap_or("no answer"))),
    }
}
