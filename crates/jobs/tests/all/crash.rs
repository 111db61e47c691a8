//! Kills at any moment, and crashes at the moments that are most telling.

use crate::churn::{Log, audit, live};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

/// More with `FOLDRY_KILLS`.
fn kills() -> usize {
    std::env::var("FOLDRY_KILLS").map_or(20, |text| text.parse().expect("FOLDRY_KILLS is a number"))
}

#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("jobs.db");
    let mut log = Log::default();
    for life in 0..kills() {
        // Spread over a life: at the first words, and well into it.
        let moment = Duration::from_micros(life as u64 * 1_237 % 20_011);
        let end = live(&database, &[], Some((1 + life * 7 % 40, moment)), &mut log);
        assert_eq!(end.signal(), Some(9), "life {life} ended by itself");
    }
    assert!(log.submitted.len() > kills(), "the server did next to nothing");
    audit(&database, &log).await;
}

#[tokio::test]
async fn a_crash_at_every_write_leaves_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for operation in ["submit", "claim", "heartbeat", "append_event", "finish", "cancel", "requeue", "reap"] {
        let database = folder.path().join(format!("{operation}.db"));
        let mut log = Log::default();
        for point in ["applied", "committed"] {
            for count in ["1", "2"] {
                // Something for a reaper to find.
                live(&database, &["append_event", "applied", "2"], None, &mut log);
                let end = live(&database, &[operation, point, count], None, &mut log);
                assert_eq!(end.signal(), Some(6), "{operation} {point}: expected an abort, found {end}");
            }
        }
        audit(&database, &log).await;
    }
}
