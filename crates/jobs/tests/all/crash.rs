//! Kills at any moment, and crashes at the moments that are most telling, on either database.

use crate::churn::{Log, Place, audit, killed_after, live};
use crate::postgres;
use jobs::{Outcome, Policy, Reap, State};
use serde_json::json;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

/// More with `FOLDRY_KILLS`.
fn kills() -> usize {
    std::env::var("FOLDRY_KILLS").map_or(20, |text| text.parse().expect("FOLDRY_KILLS is a number"))
}

fn on_file(name: &str) -> (tempfile::TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::File(folder.path().join(name));
    (folder, place)
}

fn on_postgres() -> Place {
    Place::Postgres { url: postgres::url(), schema: postgres::schema() }
}

async fn killed_at_any_moment(place: Place) {
    let mut log = Log::default();
    for life in 0..kills() {
        // Spread over a life: at the first words, and well into it.
        let moment = Duration::from_micros(life as u64 * 1_237 % 20_011);
        let end = live(place.server(), &mut log, killed_after(1 + life * 7 % 40, moment));
        assert_eq!(end.signal(), Some(9), "life {life} ended by itself");
    }
    assert!(log.submitted.len() > kills(), "the server did next to nothing");
    audit(&place, &log).await;
}

#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let (_folder, place) = on_file("jobs.db");
    killed_at_any_moment(place).await;
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_postgres() {
    killed_at_any_moment(on_postgres()).await;
}

/// Something for a reaper to find, then a crash at each of the writes.
async fn crashes(operation: &str, place: Place) {
    let mut log = Log::default();
    for point in ["applied", "committed"] {
        for count in ["1", "2"] {
            let mut before = place.server();
            before.arg("append_event:applied:2");
            live(before, &mut log, |_, _| {});
            let mut server = place.server();
            server.arg(format!("{operation}:{point}:{count}"));
            let end = live(server, &mut log, |_, _| {});
            assert_eq!(end.signal(), Some(6), "{operation} {point}: expected an abort, found {end}");
        }
    }
    audit(&place, &log).await;
}

const WRITES: [&str; 8] =
    ["submit", "claim", "heartbeat", "append_event", "finish", "cancel", "requeue", "reap"];

#[tokio::test]
async fn a_crash_at_every_write_leaves_all_or_nothing() {
    for operation in WRITES {
        let (_folder, place) = on_file("jobs.db");
        crashes(operation, place).await;
    }
}

#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_crash_at_every_write_leaves_all_or_nothing_postgres() {
    for operation in WRITES {
        crashes(operation, on_postgres()).await;
    }
}

const LEASE: Duration = Duration::from_millis(600);

fn signal(name: &str, pid: u32) {
    let done = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn a_server_that_stood_still_goes_on() {
    let (_folder, place) = on_file("jobs.db");
    let mut log = Log::default();
    let mut server = place.server();
    server.env("CHURN_LEASE", LEASE.as_millis().to_string()).env("CHURN_REST", "30");
    let mut stands = 0;
    live(server, &mut log, |log, server| match log.claimed.len() {
        3 | 9 | 15 if stands < log.claimed.len() => {
            stands = log.claimed.len();
            signal("-STOP", server.id());
            std::thread::sleep(LEASE * 2);
            signal("-CONT", server.id());
        }
        40.. => server.kill().unwrap(),
        _ => {}
    });
    assert_eq!(stands, 15);
    audit(&place, &log).await;
}

/// Another server takes the jobs of one that stands still; what that one says when it goes on is refused.
#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_server_that_stood_still_is_late_postgres() {
    let place = on_postgres();
    let mut log = Log::default();
    let mut server = place.server();
    server.env("CHURN_LEASE", LEASE.as_millis().to_string()).env("CHURN_REST", "250");
    let mut taken = Vec::new();
    live(server, &mut log, |log, server| {
        if taken.is_empty() && log.claimed.len() == 3 {
            let (job, fence) = log.claimed[2];
            signal("-STOP", server.id());
            taken.push((job, fence));
            // Not on this thread, which is the test's runtime.
            std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let runtime = tokio::runtime::Runtime::new().unwrap();
                    runtime.block_on(takes_over(&place, job));
                });
                other.join().unwrap();
            });
            signal("-CONT", server.id());
        }
        if taken.iter().all(|held| log.late.contains(held)) && log.claimed.len() > 20 {
            server.kill().unwrap();
        }
    });
    assert!(log.late.contains(&taken[0]), "{taken:?} was not refused");
    audit(&place, &log).await;
}

async fn takes_over(place: &Place, wanted: jobs::JobId) {
    let policy = Policy { backoff: LEASE / 4, worker_deaths: 1000, max_attempts: 1000, ..Policy::default() };
    let opened = place.open_as("other", policy).await;
    let store = opened.jobs();
    // Its own boot leaves the leases of others alone.
    store.reap(Reap::Boot).await.unwrap();
    assert_eq!(store.get(wanted).await.unwrap().state, State::Running);
    while store.get(wanted).await.unwrap().state != State::Succeeded {
        store.reap(Reap::Expired).await.unwrap();
        while let Some(claim) = store.claim("other").await.unwrap() {
            let outcome = Outcome::Succeeded { result: json!("other"), blobs: Vec::new() };
            store.finish(claim.lease, outcome).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    opened.close().await;
}

/// More with `FOLDRY_STOPS`.
fn stops() -> usize {
    std::env::var("FOLDRY_STOPS").map_or(5, |text| text.parse().expect("FOLDRY_STOPS is a number"))
}

/// The database dies as by a power cut while a server works on it, and comes back.
#[tokio::test]
#[ignore = "PostgreSQL: tests/service/postgres.sh"]
async fn a_database_that_dies_loses_nothing() {
    let url = std::env::var("FOLDRY_TEST_POSTGRES_MORTAL").expect(postgres::WHY);
    let program = std::env::var("FOLDRY_TEST_POSTGRES_CTL").expect(postgres::WHY);
    let ctl = |what: &str| assert!(Command::new(&program).arg(what).status().unwrap().success(), "{what}");
    let place = Place::Postgres { url, schema: postgres::schema() };
    let mut log = Log::default();
    let mut server = place.server();
    server.env("CHURN_LEASE", LEASE.as_millis().to_string());
    let (mut died, mut lines) = (0, 0);
    let end = live(server, &mut log, |_, server| {
        lines += 1;
        if lines < 30 + died % 13 {
            return;
        }
        lines = 0;
        if died == stops() {
            server.kill().unwrap();
            return;
        }
        died += 1;
        std::thread::sleep(Duration::from_micros(died as u64 * 1_237 % 20_011));
        ctl("kill");
        ctl("start");
    });
    assert_eq!((died, end.signal()), (stops(), Some(9)), "the server ended by itself: {end}");
    assert!(log.submitted.len() > 5 * stops(), "the server did next to nothing");
    audit(&place, &log).await;
}
