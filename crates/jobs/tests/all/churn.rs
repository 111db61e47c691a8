//! A small server that is killed: what it acknowledged must be there, once, in one state.

use jobs::{Event, Job, JobId, JobStore, Options, Outcome, Query, Reap, SqliteStore, State};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// What the server said, over all its lives.
#[derive(Default)]
pub struct Log {
    /// Keys and their jobs.
    pub submitted: HashMap<String, JobId>,
    /// Jobs and the fences they were claimed under.
    claimed: Vec<(JobId, i64)>,
    cancelled: Vec<(JobId, State)>,
    /// Jobs, the fence of the end, and how they ended.
    ended: HashMap<JobId, (i64, State)>,
}

impl Log {
    fn read(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["submitted", key, job] => {
                assert_eq!(self.submitted.insert(key.into(), job.parse().unwrap()), None, "{line}");
            }
            ["claimed", job, fence] => self.claimed.push((job.parse().unwrap(), fence.parse().unwrap())),
            ["cancelled", job, state] => {
                self.cancelled.push((job.parse().unwrap(), State::parse(state).unwrap()));
            }
            ["ended", job, fence, state] => {
                let end = (fence.parse().unwrap(), State::parse(state).unwrap());
                assert_eq!(self.ended.insert(job.parse().unwrap(), end), None, "ended twice: {line}");
            }
            _ => panic!("expected a line of the server, found {line:?}"),
        }
    }
}

/// Runs the server until it ends; with `lines`, kills it after so many and a moment.
pub fn live(database: &Path, crash: &[&str], lines: Option<(usize, Duration)>, log: &mut Log) -> ExitStatus {
    let mut server = Command::new(env!("CARGO_BIN_EXE_jobs-churn"))
        .arg(database)
        .args(crash)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(server.stdout.take().unwrap());
    let (mut line, mut read) = (String::new(), 0);
    while out.read_line(&mut line).unwrap() > 0 {
        // A line that is not whole was not said.
        if let Some(whole) = line.strip_suffix('\n') {
            log.read(whole);
        }
        line.clear();
        read += 1;
        if let Some((enough, moment)) = lines
            && read == enough
        {
            std::thread::sleep(moment);
            server.kill().unwrap(); // SIGKILL
        }
    }
    server.wait().unwrap()
}

/// Opens the database as the next server does, holds it against the log, and works off what is left.
pub async fn audit(database: &Path, log: &Log) {
    let store = SqliteStore::open(database, Options::default()).await.unwrap();
    while !store.reap(Reap::Boot).await.unwrap().is_empty() {}
    for (key, &id) in &log.submitted {
        let job = store.get(id).await.unwrap_or_else(|error| panic!("{key} was acknowledged: {error}"));
        assert!(!job.state.is_held(), "{key}: nobody works");
    }
    for (id, state) in &log.cancelled {
        let now = store.get(*id).await.unwrap().state;
        // A job that was being cancelled may have ended cancelled only; any other end is final.
        let expected = if *state == State::Cancelling { State::Cancelled } else { *state };
        assert_eq!(now, expected, "{id}");
    }
    for (&id, &(fence, state)) in &log.ended {
        let job = store.get(id).await.unwrap();
        assert_eq!((job.fence, job.state), (fence, state), "{id}");
    }
    let unique: HashSet<_> = log.claimed.iter().collect();
    assert_eq!(unique.len(), log.claimed.len(), "a job was claimed twice under one fence");
    for &(id, fence) in &log.claimed {
        assert!(store.get(id).await.unwrap().fence >= fence, "{id}");
    }

    while let Some(claim) = store.claim("last").await.unwrap() {
        let outcome = Outcome::Succeeded { result: json!("late"), blobs: Vec::new() };
        store.finish(claim.lease, outcome).await.unwrap();
    }
    let jobs = store.list(&Query { limit: u32::MAX, ..Query::default() }).await.unwrap();
    let keys: HashSet<_> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(keys.len(), jobs.len());
    let mut told: Vec<_> = Vec::new();
    loop {
        let part = store.deliveries(500).await.unwrap();
        if part.is_empty() {
            break;
        }
        told.extend(part.into_iter().map(|delivery| delivery.job));
    }
    // Every job has a hook, and each was told once.
    assert_eq!((told.len(), told.into_iter().collect::<HashSet<_>>()), (jobs.len(), keys));
    for job in &jobs {
        ended_once(&store, job).await;
    }
    store.close().await;
}

async fn ended_once(store: &SqliteStore, job: &Job) {
    let events = store.events(job.id, 0, u32::MAX).await.unwrap();
    let numbers: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=job.last_event).collect::<Vec<_>>(), "{}", job.id);
    let states = events.iter().filter(|event| event.kind == Event::STATE);
    let states: Vec<_> =
        states.map(|event| State::parse(event.data["state"].as_str().unwrap()).unwrap()).collect();
    let ends = states.iter().filter(|state| state.is_terminal()).count();
    assert_eq!((ends, states.last()), (1, Some(&job.state)), "{}: {states:?}", job.id);
    assert_eq!(job.result.is_some(), job.state == State::Succeeded, "{}", job.id);
}
