//! Blobs in an S3-compatible store. `tests/service/postgres.sh` runs one beside the tests.

use crate::blobs::{puts_and_gets, reads_parts};
use crate::suite::{START, policy, secs};
use futures_util::TryStreamExt;
use jobs::{
    Blobs, Digest, Error, JobStore, ManualClock, Options, Reap, S3Options, SqliteStore, Submission, Swept,
};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const BUCKET: &str = "foldry-test";

/// A prefix of its own; bytes are put anew each time.
fn options() -> S3Options {
    let endpoint = std::env::var("FOLDRY_TEST_S3")
        .expect("expected an endpoint in FOLDRY_TEST_S3; tests/service/postgres.sh sets it");
    S3Options {
        endpoint: Some(endpoint),
        prefix: format!("test/{}", uuid::Uuid::now_v7()),
        fresh: Duration::ZERO,
        ..S3Options::new(BUCKET, "us-east-1", "S3RVER", "S3RVER")
    }
}

/// The bucket as another program sees it.
fn plainly(options: &S3Options) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(options.endpoint.as_ref().unwrap())
        .with_allow_http(true)
        .with_region(&options.region)
        .with_bucket_name(BUCKET)
        .with_access_key_id(&options.access_key_id)
        .with_secret_access_key(&options.secret_access_key)
        .build()
        .unwrap()
}

async fn names(options: &S3Options) -> Vec<Path> {
    let list = plainly(options).list(Some(&Path::from(options.prefix.as_str())));
    list.map_ok(|object| object.location).try_collect().await.unwrap()
}

async fn store(folder: &tempfile::TempDir) -> (SqliteStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(START));
    let options = Options { policy: policy(), clock: clock.clone(), ..Options::default() };
    (SqliteStore::open(&folder.path().join("jobs.db"), options).await.unwrap(), clock)
}

#[tokio::test]
#[ignore = "S3: tests/service/postgres.sh"]
async fn a_bucket_holds_blobs() {
    let options = options();
    let blobs = Blobs::s3(options.clone()).await.unwrap();
    puts_and_gets(&blobs).await;
    reads_parts(&blobs).await;
    assert_eq!(blobs.path(Digest::of(b"ATOM")), None);
    // Another server reads them.
    let other = Blobs::s3(options).await.unwrap();
    assert_eq!(other.get(Digest::of(b"ATOM")).await.unwrap(), b"ATOM");
}

#[tokio::test]
#[ignore = "S3: tests/service/postgres.sh"]
async fn what_was_just_put_is_not_put_again() {
    let fresh = S3Options { fresh: secs(2), ..options() };
    let blobs = Blobs::s3(fresh.clone()).await.unwrap();
    for _ in 0..3 {
        blobs.put(b"coordinates".to_vec()).await.unwrap();
    }
    assert_eq!(names(&fresh).await.len(), 1);
    tokio::time::sleep(secs(2)).await;
    blobs.put(b"coordinates".to_vec()).await.unwrap();
    assert_eq!(names(&fresh).await.len(), 2);
}

#[tokio::test]
#[ignore = "S3: tests/service/postgres.sh"]
async fn a_damaged_object_is_not_given_out() {
    let options = options();
    let blobs = Blobs::s3(options.clone()).await.unwrap();
    let digest = blobs.put(b"coordinates".to_vec()).await.unwrap();
    let name = names(&options).await.remove(0);
    plainly(&options).put(&name, b"c0ordinates".to_vec().into()).await.unwrap();
    assert!(matches!(blobs.get(digest).await, Err(Error::Damaged { .. })));
}

#[tokio::test]
#[ignore = "S3: tests/service/postgres.sh"]
async fn a_sweep_removes_old_orphans_and_spare_objects() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = store(&folder).await;
    let options = options();
    let blobs = Blobs::s3(options.clone()).await.unwrap();
    let mut put = Vec::new();
    for name in ["input", "result", "orphan", "orphan put again"] {
        put.push(blobs.put(name.into()).await.unwrap());
    }
    // Not ours, old.
    let strange = Path::from(format!("{}/ab/notes", options.prefix));
    plainly(&options).put(&strange, b"x".to_vec().into()).await.unwrap();
    let job = Submission { blobs: vec![put[0]], ..Submission::new("ada", json!(1)) };
    store.submit(vec![job]).await.unwrap();
    let lease = store.claim("w").await.unwrap().unwrap().lease;
    let ended = jobs::Outcome::Succeeded { result: json!(2), blobs: vec![put[1]] };
    store.finish(lease, ended).await.unwrap();
    tokio::time::sleep(secs(4)).await;
    for name in ["input", "orphan put again", "fresh orphan"] {
        put.push(blobs.put(name.into()).await.unwrap());
    }
    // Old and gone: the orphan, the older objects of what was put again. S3's times are whole seconds.
    assert_eq!(blobs.sweep(&store, secs(3)).await.unwrap(), Swept { removed: 3, kept: 4 });
    for (n, there) in [true, true, false, true, true, true, true].into_iter().enumerate() {
        assert_eq!(blobs.get(put[n]).await.is_ok(), there, "blob {n}");
    }
    assert!(names(&options).await.contains(&strange));

    // Once its job is expired nothing holds a blob.
    clock.advance(policy().retention + secs(1));
    store.reap(Reap::Expired).await.unwrap();
    tokio::time::sleep(secs(4)).await;
    assert_eq!(blobs.sweep(&store, secs(3)).await.unwrap(), Swept { removed: 4, kept: 0 });
    assert_eq!(names(&options).await, [strange]);
}

/// Two servers put the same few blobs again and again while a third sweeps: what a job refers to is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "S3: tests/service/postgres.sh"]
async fn a_sweep_beside_puts_takes_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = store(&folder).await;
    let store = Arc::new(store);
    let options = options();
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for server in 0..2u64 {
        let (store, over) = (Arc::clone(&store), Arc::clone(&over));
        let blobs = Blobs::s3(options.clone()).await.unwrap();
        tasks.spawn(async move {
            let mut rounds = 0;
            while !over.load(Ordering::Relaxed) {
                let digest = blobs.put(format!("alignment {}", rounds % 3).into()).await.unwrap();
                let asked = Submission { blobs: vec![digest], ..Submission::new("ada", json!(server)) };
                let job = store.submit(vec![asked]).await.unwrap().remove(0).job;
                tokio::time::sleep(Duration::from_millis(200)).await;
                blobs.get(digest).await.unwrap_or_else(|error| panic!("round {rounds}: {error}"));
                // Nothing holds it from here on, unless the other server does.
                store.cancel(job.id).await.unwrap();
                rounds += 1;
            }
            assert!(rounds > 10);
        });
    }
    let sweeper = Blobs::s3(options).await.unwrap();
    let (mut removed, mut sweeps, began) = (0, 0, Instant::now());
    while removed < 30 || sweeps < 4 {
        assert!(began.elapsed() < secs(300), "{removed} removed in {sweeps} sweeps");
        clock.advance(policy().retention + secs(1));
        store.reap(Reap::Expired).await.unwrap();
        removed += sweeper.sweep(store.as_ref(), secs(5)).await.unwrap().removed;
        sweeps += 1;
    }
    over.store(true, Ordering::Relaxed);
    tasks.join_all().await;
}

#[tokio::test]
#[ignore = "S3: tests/service/postgres.sh"]
async fn a_bucket_that_is_not_there_is_told() {
    let missing = S3Options { bucket: "foldry-missing".into(), ..options() };
    let error = Blobs::s3(missing).await.expect_err("a bucket that is not there").to_string();
    assert!(error.starts_with("s3://foldry-missing/test/"), "{error}");
    let began = Instant::now();
    let away = S3Options { endpoint: Some("http://127.0.0.1:1".into()), ..options() };
    let error = Blobs::s3(away).await.expect_err("a server that is not there");
    assert!(matches!(error, Error::Remote { .. }) && began.elapsed() < secs(60), "{error}");
}
