//! A server that ends itself at each write of a job's life, and the one that is started after it.

use crate::audit::one_end;
use crate::client::Client;
use crate::postgres;
use crate::server::{Server, Setup};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// Folded in an instant; with many recycles in a second.
const SHORT: &str = "MKVLAWGDEYFRNQHSTPIC";

/// What happens to a job before the server is gone, and how the job then ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Story {
    /// It is submitted and folded.
    Folded,
    /// Its child stands still, so that its lease is renewed.
    Held,
    /// Its child is killed, so that it is to be tried again.
    Retried,
    /// The server is told to stop while it runs.
    Drained,
    /// No machine has the memory for it.
    Failed,
    /// It is cancelled while it waits.
    CancelledBefore,
    /// It is cancelled while it runs.
    Cancelled,
    /// The server is killed while it runs, and the next one takes it back.
    TakenBack,
}

/// The rows of the table of states, and where the server ends itself.
const ROWS: [(&str, Story, &str); 12] = [
    ("accept -> queued", Story::Folded, "submit"),
    ("queued -> running", Story::Folded, "claim"),
    ("heartbeat", Story::Held, "heartbeat"),
    ("progress", Story::Folded, "append_event"),
    ("write result", Story::Folded, "blob"),
    ("running -> succeeded", Story::Folded, "finish"),
    ("running -> retry_wait", Story::Retried, "requeue"),
    ("running -> queued (drain)", Story::Drained, "requeue"),
    ("running -> failed", Story::Failed, "finish"),
    ("queued -> cancelled", Story::CancelledBefore, "cancel"),
    ("running -> cancelling", Story::Cancelled, "cancel"),
    ("cancelling -> cancelled", Story::Cancelled, "finish"),
];

impl Story {
    fn body(self) -> Value {
        let (sequence, recycles) = match self {
            Self::Folded => (SHORT.into(), 3),
            // Long enough that it still runs when the server is told what to do.
            Self::Held | Self::Retried | Self::Drained | Self::TakenBack => (SHORT.into(), 100),
            Self::Cancelled => (SHORT.repeat(30), 50),
            Self::Failed => ("A".repeat(50_000), 0),
            Self::CancelledBefore => (SHORT.into(), 0),
        };
        json!({"name": "f", "sequence": sequence, "options": {"recycles": recycles}})
    }

    fn workers(self) -> &'static str {
        if self == Self::CancelledBefore { "0" } else { "1" }
    }

    fn end(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CancelledBefore | Self::Cancelled => "cancelled",
            Self::Folded | Self::Held | Self::Retried | Self::Drained | Self::TakenBack => "succeeded",
        }
    }

    /// Makes it happen; returns processes that it stopped. The server may be gone at any moment, so nothing needs an answer.
    fn happens(self, server: &Server, id: &str) -> Vec<u32> {
        match self {
            Self::Folded | Self::Failed => {}
            Self::CancelledBefore => cancel(&server.client(), id),
            _ => {
                server.client().until(id, "running");
                match self {
                    Self::Cancelled => cancel(&server.client(), id),
                    Self::Drained => server.signal("TERM"),
                    Self::Held => return signal("-STOP", server.children()),
                    _ => drop(signal("-KILL", server.children())),
                }
            }
        }
        Vec::new()
    }
}

fn cancel(client: &Client, id: &str) {
    let _ = client.try_cancel(id);
}

/// Signals processes, which may be gone.
fn signal(name: &str, processes: Vec<u32>) -> Vec<u32> {
    for process in &processes {
        let _ = Command::new("kill").args([name, &process.to_string()]).status();
    }
    processes
}

/// Where a server keeps its jobs.
#[derive(Debug, Clone, Copy)]
enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    /// Whether there is one, and failpoints, which builds without debug assertions have not.
    fn is_there(self) -> bool {
        if !cfg!(debug_assertions) {
            println!("NOT RUN: a build of the release profile has no failpoints");
            return false;
        }
        matches!(self, Self::Sqlite) || postgres::url().is_some()
    }

    /// The settings of a server that has it, and a folder, to itself.
    fn setup(self, folder: &Path, story: Story) -> Setup {
        let settings =
            ["--lease", "3", "--drain", "0", "--max-residues", "60000", "--workers", story.workers()];
        let Self::Postgres = self else { return Setup::new(folder, &settings) };
        let (url, blobs) = (postgres::fresh().unwrap(), folder.join("blobs"));
        Setup::new(folder, &[&settings[..], &["--store", &url, "--blobs", blobs.to_str().unwrap()]].concat())
    }
}

/// Lets the server end itself at a point, starts another and says what it found.
fn crash(store: Store, row: &str, story: Story, operation: &str, point: &str) {
    let place = format!("{store:?}, {row}, {operation}:{point}");
    let folder = tempfile::tempdir().unwrap();
    let setup = store.setup(folder.path(), story);
    let mut server = setup.clone().with("FOLDRY_FAILPOINT", format!("{operation}:{point}:1")).start();
    let key = Some("once");
    let accepted = server.client().try_submit(&story.body(), key).ok();
    let accepted = accepted.map(|answer| {
        assert_eq!(answer.status, 202, "{place}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()["id"].as_str().unwrap().to_owned()
    });
    // Where the submission itself ends the server, nobody was told an id; elsewhere a worker may claim the job, and end the
    // server, before the answer is out.
    assert!(accepted.is_none() || operation != "submit", "{place}");
    let stopped = accepted.as_ref().map(|id| story.happens(&server, id)).unwrap_or_default();
    assert_eq!(server.signalled(PATIENCE), Some(6), "{place}: expected an abort: {:#?}", server.log());
    // They find that their server is gone.
    signal("-CONT", stopped);
    drop(server);
    after(&place, &setup, story, accepted.as_deref());
}

/// By key it is the same job, and it has one end and one effect.
fn after(place: &str, setup: &Setup, story: Story, accepted: Option<&str>) {
    let server = setup.start();
    let client = server.client();
    if story == Story::CancelledBefore {
        // Taken back or committed, but never half of it; asked again it is so.
        let state = client.get(&format!("/v1/jobs/{}", accepted.unwrap()), &[]).json()["state"].clone();
        assert!(state == "queued" || state == "cancelled", "{place}: {state}");
    }
    let again = client.try_submit(&story.body(), Some("once")).unwrap();
    assert_eq!(again.status, 202, "{place}");
    let id = again.json()["id"].as_str().unwrap().to_owned();
    assert!(accepted.is_none_or(|accepted| accepted == id), "{place}: one key, two jobs");
    if story.end() == "cancelled" {
        client.cancel(&id);
    }
    let job = client.ended(&id);
    assert_eq!(job["state"], story.end(), "{place}: {job}");
    if story == Story::Failed {
        assert_eq!(job["reason"]["code"], "bad_input", "{place}: {job}");
    }
    one_end(&client, &job, place);
    let all = client.get("/v1/jobs", &[]).json();
    assert_eq!(all["jobs"].as_array().unwrap().len(), 1, "{place}");
    println!("{place}: {} after attempt {}", story.end(), job["attempts"]);
}

/// Every row of the table, before and after the write.
fn all_rows(store: Store) {
    if !store.is_there() {
        return;
    }
    // Two at a time: most of it is waiting.
    let crashes: Vec<_> = ROWS.iter().flat_map(|row| [(*row, "applied"), (*row, "committed")]).collect();
    std::thread::scope(|scope| {
        for half in crashes.chunks(crashes.len().div_ceil(2)) {
            scope.spawn(move || {
                for ((row, story, operation), point) in half {
                    crash(store, row, *story, operation, point);
                }
            });
        }
    });
}

/// Servers that die while they take back what the one before them left running.
fn taking_back(store: Store) {
    if !store.is_there() {
        return;
    }
    for point in ["applied", "committed"] {
        let place = format!("{store:?}, running -> queued (boot), reap:{point}");
        let (folder, story) = (tempfile::tempdir().unwrap(), Story::TakenBack);
        let setup = store.setup(folder.path(), story);
        let mut server = setup.start();
        let id = server.client().try_submit(&story.body(), Some("once")).unwrap().json()["id"].clone();
        let id = id.as_str().unwrap();
        server.client().until(id, "running");
        server.kill();
        let dies = setup.clone().with("FOLDRY_FAILPOINT", format!("reap:{point}:1"));
        assert_eq!(dies.dies(PATIENCE), Some(6), "{place}: expected an abort");
        after(&place, &setup, story, Some(id));
    }
}

#[test]
fn a_server_that_dies_at_any_row_of_the_table_loses_nothing() {
    all_rows(Store::Sqlite);
}

#[test]
fn a_server_that_dies_at_any_row_of_the_table_loses_nothing_on_postgres() {
    all_rows(Store::Postgres);
}

#[test]
fn a_server_that_dies_while_it_takes_jobs_back_loses_nothing() {
    taking_back(Store::Sqlite);
}

#[test]
fn a_server_that_dies_while_it_takes_jobs_back_loses_nothing_on_postgres() {
    taking_back(Store::Postgres);
}
