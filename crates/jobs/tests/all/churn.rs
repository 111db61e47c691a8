//! A small server that is killed: what it acknowledged must be there, once, in one state.

use jobs::{
    Event, Job, JobId, JobStore, Options, Outcome, Policy, PostgresOptions, PostgresStore, Query, Reap,
    SqliteStore, State,
};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What the server said, over all its lives.
#[derive(Default)]
pub struct Log {
    /// Keys and their jobs.
    pub submitted: HashMap<String, JobId>,
    /// Jobs and the fences they were claimed under.
    pub claimed: Vec<(JobId, i64)>,
    cancelled: Vec<(JobId, State)>,
    /// Jobs, the fence of the end, and how they ended.
    ended: HashMap<JobId, (i64, State)>,
    /// Refused: jobs and fences of workers that were too late.
    pub late: HashSet<(JobId, i64)>,
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
            ["late", job, fence] => {
                self.late.insert((job.parse().unwrap(), fence.parse().unwrap()));
            }
            _ => panic!("expected a line of the server, found {line:?}"),
        }
    }
}

/// Where a server keeps its jobs.
pub enum Place {
    File(PathBuf),
    Postgres { url: String, schema: String },
}

/// An opened store.
pub enum Store {
    File(SqliteStore),
    Postgres(PostgresStore),
}

impl Store {
    pub fn jobs(&self) -> &dyn JobStore {
        match self {
            Self::File(store) => store,
            Self::Postgres(store) => store,
        }
    }

    pub async fn close(self) {
        match self {
            Self::File(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

impl Place {
    /// The server in small, not yet started.
    pub fn server(&self) -> Command {
        let mut server = Command::new(env!("CARGO_BIN_EXE_jobs-churn"));
        match self {
            Self::File(path) => server.arg(path),
            Self::Postgres { url, schema } => server.arg(url).env("CHURN_SCHEMA", schema),
        };
        server
    }

    /// As the next server of the same name opens it.
    pub async fn open(&self) -> Store {
        self.open_as("churn", Policy::default()).await
    }

    pub async fn open_as(&self, server: &str, policy: Policy) -> Store {
        match self {
            Self::File(path) => {
                let options = Options { policy, ..Options::default() };
                Store::File(SqliteStore::open(path, options).await.unwrap())
            }
            Self::Postgres { url, schema } => {
                let options =
                    PostgresOptions { policy, schema: schema.clone(), ..PostgresOptions::new(server) };
                Store::Postgres(PostgresStore::open(url, options).await.unwrap())
            }
        }
    }
}

/// Runs a server until it ends, and reads what it says; `each` sees it after every line.
pub fn live(mut server: Command, log: &mut Log, mut each: impl FnMut(&mut Log, &mut Child)) -> ExitStatus {
    let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        // A line that is not whole was not said.
        if let Some(whole) = line.strip_suffix('\n') {
            log.read(whole);
            each(log, &mut server);
        }
        line.clear();
    }
    server.wait().unwrap()
}

/// Kills the server after so many lines and a moment.
pub fn killed_after(lines: usize, moment: Duration) -> impl FnMut(&mut Log, &mut Child) {
    let mut read = 0;
    move |_, server| {
        read += 1;
        if read == lines {
            std::thread::sleep(moment);
            server.kill().unwrap(); // SIGKILL
        }
    }
}

/// Opens the database as the next server does, holds it against the log, and works off what is left.
pub async fn audit(place: &Place, log: &Log) {
    let opened = place.open().await;
    let store = opened.jobs();
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

    while let Some(claim) = last(store).await {
        let outcome = Outcome::Succeeded { result: json!("late"), blobs: Vec::new() };
        store.finish(claim.lease, outcome).await.unwrap();
    }
    for (id, fence) in &log.late {
        assert!(log.ended.get(id).is_none_or(|(end, _)| end != fence), "{id} ended under a refused fence");
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
        ended_once(store, job).await;
    }
    opened.close().await;
}

/// The next job; waits for those that wait for another attempt.
async fn last(store: &dyn JobStore) -> Option<jobs::Claim> {
    loop {
        if let Some(claim) = store.claim("last").await.unwrap() {
            return Some(claim);
        }
        if store.stats().await.unwrap().jobs[&State::RetryWait] == 0 {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ended_once(store: &dyn JobStore, job: &Job) {
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
