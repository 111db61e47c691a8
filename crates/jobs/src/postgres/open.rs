//! Opening: connections as they must be, this version's tables.

use super::fault::{Fault, before_commit};
use super::hints::Hints;
use super::run::Runner;
use super::{PostgresOptions, PostgresStore, schema, tls};
use crate::{Error, Result};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::str::FromStr;
use std::sync::Arc;

pub(super) async fn open(url: &str, options: PostgresOptions) -> Result<PostgresStore> {
    let PostgresOptions { policy, server, schema, connections, patience, clock, probe } = options;
    let connect = PgConnectOptions::from_str(url)
        .map_err(Error::database("database URL"))?
        .application_name("foldry")
        .disable_statement_logging();
    let place = format!(
        "postgres://{}:{}/{}",
        connect.get_host(),
        connect.get_port(),
        connect.get_database().unwrap_or("")
    );
    tls::check(&connect, &place)?;
    if !is_plain(&schema) {
        let found = format!("{schema:?}");
        return Err(Error::damaged(place.as_ref(), "a schema named by at most 40 of a-z, 0-9 and _", found));
    }
    let settings = settings(&schema, patience.as_millis());
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(2))
        .acquire_timeout(patience)
        .after_connect(move |db, _| {
            let settings = AssertSqlSafe(settings.clone());
            Box::pin(async move { db.execute(sqlx::raw_sql(settings)).await.map(|_| ()) })
        })
        .connect_lazy_with(connect.clone());
    let runner = Runner { pool, place, server, policy, patience, clock, probe };
    migrate(&connect, &schema, &runner).await.map_err(|error| match before_commit(error, &runner.place) {
        Fault::Over(error) => error,
        Fault::Again => Error::Contended("migration"),
    })?;
    let hints = Hints::start(&runner.pool, schema);
    Ok(PostgresStore { runner: Arc::new(runner), hints })
}

/// On a connection of its own: the pool would go on trying where this says at once what is wrong, and a migration may take
/// longer than a call.
async fn migrate(connect: &PgConnectOptions, schema: &str, runner: &Runner) -> Result<()> {
    let connected = tokio::time::timeout(runner.patience, connect.connect()).await;
    let mut db = connected.map_err(|_| runner.silent("connect"))?.map_err(Error::database("connect"))?;
    db.execute(sqlx::raw_sql(AssertSqlSafe(settings(schema, 0))))
        .await
        .map_err(Error::database("settings"))?;
    schema::migrate(&mut db, schema, &runner.place).await?;
    // The server closes it, too, if this cannot.
    let _ = db.close().await;
    Ok(())
}

/// Names that need no quotes and leave room in longer ones.
fn is_plain(schema: &str) -> bool {
    let letters =
        schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    letters && schema.len() <= 40 && schema.starts_with(|first: char| !first.is_ascii_digit())
}

/// What every connection is told, whatever the database's own settings are:
/// - a commit returns when it is on disk;
/// - a lock or a statement that takes longer than a call waits is given up by the server before the call is (0 is never);
/// - a server that stands still in a transaction loses it, and with it the rows it holds, before others give up waiting;
/// - one whose machine is gone is noticed within a minute and a half.
fn settings(schema: &str, patience: u128) -> String {
    format!(
        "SET search_path = \"{schema}\"; SET synchronous_commit = on; SET statement_timeout = {};
         SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {};
         SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 6",
        patience * 3 / 4,
        patience / 2,
        patience / 4
    )
}
