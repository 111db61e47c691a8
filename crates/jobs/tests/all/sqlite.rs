//! SQLite: the suite, and the files it refuses.

use crate::suite::{Backend, START, conformance, policy, success};
use jobs::{Error, JobStore, ManualClock, Options, Policy, SqliteStore, State, Submission};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

struct Sqlite(TempDir);

impl Default for Sqlite {
    fn default() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Backend for Sqlite {
    type Store = SqliteStore;

    async fn open(&self, policy: Policy, clock: Arc<ManualClock>) -> SqliteStore {
        let options = Options { policy, clock, ..Options::default() };
        SqliteStore::open(&self.0.path().join("jobs.db"), options).await.unwrap()
    }

    async fn close(&self, store: &SqliteStore) {
        store.close().await;
    }
}

conformance!(Sqlite);

fn options() -> Options {
    let clock = Arc::new(ManualClock::new(START));
    Options { policy: policy(), clock, busy: Duration::from_millis(50), ..Options::default() }
}

/// A closed database with jobs in it.
async fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("jobs.db");
    let store = SqliteStore::open(&path, options()).await.unwrap();
    let batch =
        (0..100).map(|n| Submission::new("ada", json!({ "n": n, "text": "x".repeat(100) }))).collect();
    store.submit(batch).await.unwrap();
    store.close().await;
    path
}

/// The file as another program opens it.
async fn plainly(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn refusal(path: &Path) -> Error {
    SqliteStore::open(path, options()).await.err().expect("the file to be refused")
}

async fn damage(path: &Path) -> String {
    match refusal(path).await {
        Error::Damaged { found, .. } => found,
        other => panic!("expected damage, found {other}"),
    }
}

#[tokio::test]
async fn a_second_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let store = SqliteStore::open(&path, options()).await.unwrap();
    assert!(matches!(refusal(&path).await, Error::InUse(_)));
    store.close().await;
    assert!(matches!(store.claim("w").await, Err(Error::Closed)));
    assert!(matches!(store.stats().await, Err(Error::Closed)));
    SqliteStore::open(&path, options()).await.unwrap();
}

#[tokio::test]
async fn damaged_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let whole = std::fs::read(&path).unwrap();
    let page = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    assert!(whole.len() > 12 * page);

    // Every page once: some hold free space or text only, where SQLite sees nothing, but a page's head it does.
    for number in 0..whole.len() / page {
        let mut bytes = whole.clone();
        bytes[number * page..][..64].iter_mut().for_each(|byte| *byte ^= 0xa5);
        std::fs::write(&path, &bytes).unwrap();
        damage(&path).await;
    }
    std::fs::write(&path, &whole[..whole.len() - 5 * page]).unwrap();
    damage(&path).await;
    std::fs::write(&path, "not a database, although it is long enough to be one".repeat(100)).unwrap();
    damage(&path).await;
    // The whole file is still good, so it was the damage that was refused.
    std::fs::write(&path, &whole).unwrap();
    let store = SqliteStore::open(&path, options()).await.unwrap();
    assert_eq!(store.stats().await.unwrap().jobs[&State::Queued], 100);
}

#[tokio::test]
async fn newer_and_other_databases_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path()).await;
    let mut db = plainly(&path).await;
    sqlx::query("PRAGMA user_version = 99").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    assert_eq!(damage(&path).await, "version 99 of its tables");

    let other = folder.path().join("other.db");
    let mut db = plainly(&other).await;
    sqlx::query("CREATE TABLE recipes (name TEXT)").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    let before = std::fs::read(&other).unwrap();
    assert_eq!(damage(&other).await, "application id 0x0");
    // Not a byte of it was changed.
    assert_eq!(std::fs::read(&other).unwrap(), before);
}

#[tokio::test]
async fn a_log_cut_short_leaves_a_whole_database() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("jobs.db"), folder.path().join("copy.db"));
    let store = SqliteStore::open(&path, options()).await.unwrap();
    for n in 0..20 {
        store.submit(vec![Submission::new("ada", json!(n))]).await.unwrap();
    }
    // As a crash leaves them: the log is not folded into the file.
    let log = std::fs::read(folder.path().join("jobs.db-wal")).unwrap();
    for keep in [log.len(), log.len() - 1000, log.len() / 2 + 7] {
        std::fs::copy(&path, &copy).unwrap();
        std::fs::write(folder.path().join("copy.db-wal"), &log[..keep]).unwrap();
        let store = SqliteStore::open(&copy, options()).await.unwrap();
        let jobs = store.stats().await.unwrap().jobs[&State::Queued];
        assert!(if keep == log.len() { jobs == 20 } else { jobs < 20 }, "{jobs} jobs of {keep} bytes");
        store.close().await;
        std::fs::remove_file(&copy).unwrap();
    }
}

#[tokio::test]
async fn a_lock_from_outside_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let store = SqliteStore::open(&path, options()).await.unwrap();
    let mut db = plainly(&path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut db).await.unwrap();
    let refused = store.submit(vec![Submission::new("ada", json!(1))]).await;
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
    assert!(matches!(store.ping().await, Err(Error::Busy(_))));
    // Reading goes on.
    assert_eq!(store.stats().await.unwrap().jobs[&State::Queued], 0);
    sqlx::query("ROLLBACK").execute(&mut db).await.unwrap();
    store.submit(vec![Submission::new("ada", json!(1))]).await.unwrap();
    assert_eq!(store.stats().await.unwrap().jobs[&State::Queued], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_does_not_spoil_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("jobs.db"), options()).await.unwrap());
    let keyed = |n| Submission { key: Some("k".into()), ..Submission::new("ada", json!(n)) };
    store.submit(vec![keyed(0)]).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..41 {
        let store = Arc::clone(&store);
        // Every second batch ends with a key that is taken, after a job that is not.
        let last = if n % 2 == 0 { keyed(n) } else { Submission::new("ada", json!(n)) };
        tasks.spawn(async move { store.submit(vec![Submission::new("ada", json!(n)), last]).await.is_ok() });
    }
    let accepted = tasks.join_all().await.into_iter().filter(|&ok| ok).count();
    assert_eq!((accepted, store.stats().await.unwrap().jobs[&State::Queued]), (20, 41));
    while let Some(claim) = store.claim("w").await.unwrap() {
        store.finish(claim.lease, success()).await.unwrap();
    }
    assert_eq!(store.stats().await.unwrap().jobs[&State::Succeeded], 41);
}
