//! Databases of the PostgreSQL that `tests/service/postgres.sh` starts.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};
use std::sync::atomic::{AtomicU32, Ordering};

const NAME: &str = "FOLDRY_TEST_POSTGRES";

/// The one that all tests may use; `None` where there is no PostgreSQL.
pub fn url() -> Option<String> {
    let url = std::env::var(NAME).ok();
    if url.is_none() {
        println!("NOT RUN: wants a database in {NAME} (tests/service/postgres.sh)");
    }
    url
}

/// The URL of a database made just now.
pub fn fresh() -> Option<String> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let url = url()?;
    let name = format!("fresh_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let make = async {
        let mut server = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut server).await.unwrap();
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(make);
    let (start, settings) = url.split_once("/postgres?").expect("the URL that postgres.sh makes");
    Some(format!("{start}/{name}?{settings}"))
}
