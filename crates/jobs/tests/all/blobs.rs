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

#[tokio::test]
async fn what_is_put_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    for bytes in [&b""[..], b"ATOM", &[7; 70_001]] {
        let digest = blobs.put(bytes.to_vec()).await.unwrap();
        assert_eq!(digest, Digest::of(bytes));
        assert_eq!(blobs.get(digest).await.unwrap(), bytes);
        assert_eq!(blobs.put(bytes.to_vec()).await.unwrap(), digest);
    }
    let other = Digest::of(b"other");
    assert!(matches!(blobs.get(other).await, Err(Error::NoBlob(digest)) if digest == other));
    // Nothing is left aside.
    assert_eq!(std::fs::read_dir(folder.path().join("aside")).unwrap().count(), 0);
}

#[tokio::test]
async fn parts_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    let bytes: Vec<u8> = (0..70_001u32).map(|n| (n % 251) as u8).collect();
    let digest = blobs.put(bytes.clone()).await.unwrap();
    assert_eq!(blobs.size(digest).await.unwrap(), 70_001);
    for (first, end) in [(0, 1), (3, 3), (65_530, 70_001), (0, 70_001)] {
        assert_eq!(blobs.get_range(digest, first..end).await.unwrap(), bytes[first as usize..end as usize]);
    }
    assert!(matches!(blobs.get_range(digest, 69_999..70_002).await, Err(Error::Damaged { .. })));
    let other = Digest::of(b"other");
    assert!(matches!(blobs.size(other).await, Err(Error::NoBlob(_))));
    assert!(matches!(blobs.get_range(other, 0..1).await, Err(Error::NoBlob(_))));
}

#[tokio::test]
async fn a_damaged_blob_is_not_given_out() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(folder.path()).unwrap();
    let digest = blobs.put(b"coordinates".to_vec()).await.unwrap();
    std::fs::write(blobs.path(digest), b"c0ordinates").unwrap();
    assert!(matches!(blobs.get(digest).await, Err(Error::Damaged { .. })));
    // Cut short, it is put whole again.
    std::fs::write(blobs.path(digest), b"coord").unwrap();
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
        age(&blobs.path(put[n]));
    }
    blobs.put("orphan put again".into()).await.unwrap();
    // What a crash leaves aside, and what is not ours.
    let (aside, strange) =
        (folder.path().join("blobs/aside/half"), blobs.path(put[0]).with_file_name("notes"));
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
