//! A disk that is full, and a file that another program has locked.

use crate::suite::{policy, success};
use jobs::{Blobs, Error, JobId, JobStore, Options, SqliteStore, State, Submission};
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs itself again where a folder is a disk of 3 MiB that nobody else sees.
#[tokio::test]
#[ignore = "mounts a disk in a namespace of its own: tests/service/postgres.sh"]
async fn a_full_disk_loses_nothing() {
    if let Some(disk) = std::env::var_os("FOLDRY_SMALL_DISK") {
        return on_a_small_disk(Path::new(&disk)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "sh", "-c"]);
    unshare.arg(r#"mount -t tmpfs -o size=3m small "$FOLDRY_SMALL_DISK" && exec "$0" "$@""#);
    unshare.arg(std::env::current_exe().unwrap());
    unshare.args(["--exact", "disk::a_full_disk_loses_nothing", "--include-ignored", "--nocapture"]);
    let done = unshare.env("FOLDRY_SMALL_DISK", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    // It was another disk.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

async fn on_a_small_disk(disk: &Path) {
    let path = disk.join("jobs.db");
    let options = || Options { policy: policy(), ..Options::default() };
    let store = SqliteStore::open(&path, options()).await.unwrap();
    let blobs = Blobs::open(&disk.join("blobs")).unwrap();
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let big = |n: usize| Submission::new(format!("t{n}"), json!("x".repeat(20_000)));
    let mut accepted: Vec<JobId> = Vec::new();
    let claim = {
        accepted.push(store.submit(vec![big(0)]).await.unwrap()[0].job.id);
        store.claim("w").await.unwrap().unwrap()
    };
    let mut full = None;
    for n in 1..1000 {
        match store.submit(vec![big(n)]).await {
            Ok(answers) => accepted.push(answers[0].job.id),
            Err(error) => {
                full = Some(error);
                break;
            }
        }
    }
    assert!(matches!(full, Some(Error::DiskFull(_))), "{full:?}");
    assert!(accepted.len() > 20, "only {} fitted", accepted.len());
    // It says so as long as it is so, for blobs too, and reading goes on.
    for _ in 0..3 {
        assert!(matches!(store.submit(vec![big(0)]).await, Err(Error::DiskFull(_))));
        assert!(matches!(blobs.put(vec![7; 1 << 20]).await, Err(Error::DiskFull(_))));
    }
    assert_eq!(std::fs::read_dir(disk.join("blobs/aside")).unwrap().count(), 0);
    let queued = store.stats().await.unwrap().jobs[&State::Queued];
    assert_eq!(queued as usize, accepted.len() - 1);

    // With room again everything goes on by itself.
    std::fs::remove_file(&ballast).unwrap();
    accepted.push(store.submit(vec![big(1001)]).await.unwrap()[0].job.id);
    store.finish(claim.lease, success()).await.unwrap();
    blobs.put(vec![7; 1 << 18]).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&path, options()).await.unwrap();
    for id in &accepted {
        store.get(*id).await.unwrap();
    }
    assert_eq!(store.stats().await.unwrap().jobs.values().sum::<u64>() as usize, accepted.len());
}

/// Longer with `FOLDRY_LOCK_SECONDS`.
fn lock_seconds() -> u64 {
    std::env::var("FOLDRY_LOCK_SECONDS")
        .map_or(2, |text| text.parse().expect("FOLDRY_LOCK_SECONDS is a number"))
}

#[tokio::test]
async fn a_lock_that_lasts_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let options = Options { policy: policy(), busy: Duration::from_millis(300), ..Options::default() };
    let store = SqliteStore::open(&path, options).await.unwrap();
    let keyed = || Submission { key: Some("k".into()), ..Submission::new("ada", json!(1)) };
    let mut db = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut db).await.unwrap();
    let until = Instant::now() + Duration::from_secs(lock_seconds());
    let mut refused = 0;
    while Instant::now() < until {
        let answer = store.submit(vec![keyed()]).await;
        assert!(matches!(answer, Err(Error::Busy(_))), "{answer:?}");
        assert_eq!(store.stats().await.unwrap().jobs[&State::Queued], 0);
        refused += 1;
    }
    assert!(refused > 1);
    sqlx::query("ROLLBACK").execute(&mut db).await.unwrap();
    db.close().await.unwrap();
    assert!(store.submit(vec![keyed()]).await.unwrap()[0].fresh);
    assert_eq!(store.stats().await.unwrap().jobs[&State::Queued], 1);
}
