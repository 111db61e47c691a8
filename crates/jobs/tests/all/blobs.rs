//! Blobs: whole or not there, swept only when nobody needs them.

use crate::suite::{START, policy, secs};
use jobs::{Blobs, Digest, Error, JobStore, ManualClock, Options, SqliteStore, Submission, Swept};
use serde_json::json;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(3600);

/// Makes a file two hours old.
fn age(path: &Path) {
    File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - 2 * HOUR).unwrap();
}

/// What is put is read again, and nothing else is there.
pub async fn puts_and_gets(blobs: &Blobs) {
    for bytes in [&b""[..], b"ATOM", &[7; 70_001]] {
        let digest = blobs.put(bytes.to_vec()).await.unwrap();
        assert_eq!(digest, Digest::of(bytes));
        assert_eq!(blobs.get(digest).await.unwrap(), bytes);
        assert_eq!(blobs.size(digest).await.unwrap(), bytes.len() as u64);
        assert_eq!(blobs.put(bytes.to_vec()).await.unwrap(), digest);
    }
    let other = Digest::of(b"other");
    assert!(matches!(blobs.get(other).await, Err(Error::NoBlob(digest)) if digest == other));
    assert!(matches!(blobs.size(other).await, Err(Error::NoBlob(_))));
    assert!(matches!(blobs.get_range(other, 0..1).await, Err(Error::NoBlob(_))));
    assert!(matches!(blobs.get_range(other, 0..0).await, Err(Error::NoBlob(_))));
}

/// Any part of a blob is read, and what it has not is an error.
pub async fn reads_parts(blobs: &Blobs) {
    let bytes: Vec<u8> = (0..700_001u32).map(|n| (n % 251) as u8).collect();
    let digest = blobs.put(bytes.clone()).await.unwrap();
    for (first, end) in [(0, 1), (3, 3), (65_530, 600_001), (700_000, 700_001), (0, 700_001)] {
        assert_eq!(blobs.get_range(digest, first..end).await.unwrap(), bytes[first as usize..end as usize]);
    }
    for beyond in [699_999..700_002, 700_001..700_002, 900_000..900_009] {
        let found = blobs.get_range(digest, beyond.clone()).await;
        assert!(matches!(found, Err(Error::Damaged { .. })), "{beyond:?}: {found:?}");
    }
    let mut parts = blobs.parts(digest, 5..700_001).await.unwrap();
    let (mut read, mut calls) = (0, 0);
    while let Some(part) = parts.next().await.unwrap() {
        assert!(!part.is_empty());
        read += part.len();
        calls += 1;
    }
    assert!(read == 699_996 && calls > 1, "{read} bytes in {calls} parts");
    assert_eq!(parts.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_folder_holds_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    puts_and_gets(&blobs).await;
    reads_parts(&blobs).await;
    // Nothing is left aside.
    assert_eq!(std::fs::read_dir(folder.path().join("aside")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_blob_is_not_given_out() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    let digest = blobs.put(b"coordinates".to_vec()).await.unwrap();
    std::fs::write(blobs.path(digest).unwrap(), b"c0ordinates").unwrap();
    assert!(matches!(blobs.get(digest).await, Err(Error::Damaged { .. })));
    // Cut short, it is put whole again.
    std::fs::write(blobs.path(digest).unwrap(), b"coord").unwrap();
    blobs.put(b"coordinates".to_vec()).await.unwrap();
    assert_eq!(blobs.get(digest).await.unwrap(), b"coordinates");
}

#[tokio::test]
async fn a_sweep_removes_old_orphans_only() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&folder.path().join("blobs")).unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let options = Options { policy: policy(), clock: clock.clone(), ..Options::default() };
    let store = SqliteStore::open(&folder.path().join("jobs.db"), options).await.unwrap();
    let mut put = Vec::new();
    for name in ["input", "result", "orphan", "fresh orphan", "orphan put again"] {
        put.push(blobs.put(name.into()).await.unwrap());
    }
    let job = Submission { blobs: vec![put[0]], ..Submission::new("ada", json!(1)) };
    store.submit(vec![job]).await.unwrap();
    let lease = store.claim("w").await.unwrap().unwrap().lease;
    let ended = jobs::Outcome::Succeeded { result: json!(2), blobs: vec![put[1]] };
    store.finish(lease, ended).await.unwrap();
    for n in [0, 1, 2, 4] {
        age(&blobs.path(put[n]).unwrap());
    }
    blobs.put("orphan put again".into()).await.unwrap();
    // What a crash leaves aside, and what is not ours.
    let (aside, strange) =
        (folder.path().join("blobs/aside/half"), blobs.path(put[0]).unwrap().with_file_name("notes"));
    for path in [&aside, &strange] {
        std::fs::write(path, "x").unwrap();
        age(path);
    }

    assert_eq!(blobs.sweep(&store, HOUR).await.unwrap(), Swept { removed: 2, kept: 4 });
    for (n, there) in [true, true, false, true, true].into_iter().enumerate() {
        assert_eq!(blobs.get(put[n]).await.is_ok(), there, "blob {n}");
    }
    assert!(!aside.exists() && strange.exists());

    // Once its job is expired nothing holds a blob.
    clock.advance(policy().retention + secs(1));
    store.reap(jobs::Reap::Expired).await.unwrap();
    assert_eq!(blobs.sweep(&store, HOUR).await.unwrap(), Swept { removed: 2, kept: 2 });
}
