//! Servers and workers are killed at random moments; a client's own log says what must be there in the end.

use crate::audit::one_end;
use crate::client::Client;
use crate::postgres;
use crate::server::{Server, Setup, Worker};
use crate::{count, root};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A generator of our own, so that a run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// What a client knows.
#[derive(Default)]
struct Ledger {
    /// Of every accepted submission: its key, the job's id.
    accepted: BTreeMap<String, String>,
    /// Those that were told to be cancelled.
    cancelled: Vec<String>,
}

/// Jobs that may wait at a time: the client is told to come back, so a slow machine gets fewer a second.
const QUEUED: &str = "40";

/// One job in four takes about a second; the others show what short ones do to the store.
fn body(number: usize, alignment: &str) -> Value {
    // Each its own seed, so that none is answered from another's result.
    let options = json!({"seed": number, "recycles": number % 3});
    if number.is_multiple_of(4) {
        return json!({"name": "c", "alignment": alignment, "options": options, "max_attempts": 20});
    }
    json!({"name": "c", "sequence": "MKTAYIAKQRQISFVKSHFSRQ", "options": options, "max_attempts": 20})
}

/// Submits and cancels until it is told to stop, `least` jobs or more. A request that got no answer, or none yet, is
/// made again with its key.
fn client(address: &Mutex<String>, ledger: &Mutex<Ledger>, stop: &AtomicBool, least: usize, alignment: &str) {
    let mut number = 0;
    while number < least || !stop.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("key-{number}");
        let id = loop {
            let now = address.lock().unwrap().clone();
            match Client::new(&now).try_submit(&body(number, alignment), Some(&key)) {
                Ok(answer) if answer.status == 202 => break answer.json()["id"].as_str().unwrap().to_owned(),
                // Starting, or stopping; or as many wait as may.
                Ok(answer) if [429, 503].contains(&answer.status) => {}
                Ok(answer) => panic!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut ledger = ledger.lock().unwrap();
        if number % 7 == 0 {
            let now = address.lock().unwrap().clone();
            // Unanswered, it may have been heard all the same.
            if Client::new(&now).try_cancel(&id).map_or(true, |answer| answer.status < 300) {
                ledger.cancelled.push(id.clone());
            }
        }
        let before = ledger.accepted.insert(key, id.clone());
        assert!(before.is_none_or(|before| before == id), "one key, two jobs");
        drop(ledger);
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Servers, and workers if they are processes of their own, of one store.
struct Party {
    setup: Setup,
    server: Server,
    workers: Vec<Option<Worker>>,
    folder: PathBuf,
    /// What servers and workers take.
    shared: Vec<String>,
}

impl Party {
    fn start(folder: &Path, shared: &[&str], workers: usize) -> Self {
        let own = if workers > 0 { &["--workers", "0"][..] } else { &[] };
        let setup = Setup::new(folder, &[shared, own].concat());
        let shared = shared.iter().map(ToString::to_string).collect();
        let mut party =
            Self { server: setup.start(), setup, workers: Vec::new(), folder: folder.into(), shared };
        party.workers = (0..workers).map(|number| Some(party.worker(number))).collect();
        party
    }

    fn worker(&self, number: usize) -> Worker {
        Worker::start(&self.folder.join(format!("worker-{number}")), &self.shared)
    }

    /// Kills one of them; what was killed is started again.
    fn kill_one(&mut self, random: &mut Random, address: &Mutex<String>) -> Option<Duration> {
        match random.below(3) {
            0 if self.workers.is_empty() => {
                for child in self.server.children() {
                    let _ = Command::new("kill").args(["-9", &child.to_string()]).status();
                }
                None
            }
            0 => {
                let one = random.below(self.workers.len() as u64) as usize;
                // Gone before the next one wants its folder.
                self.workers[one] = None;
                self.workers[one] = Some(self.worker(one));
                None
            }
            _ => {
                self.server.kill();
                let down = Instant::now();
                self.server = self.setup.start();
                *address.lock().unwrap() = self.server.address.clone();
                Some(down.elapsed())
            }
        }
    }
}

fn churn(folder: &Path, shared: &[&str], workers: usize) {
    let cycles = count("FOLDRY_CYCLES", 6);
    let alignment = std::fs::read_to_string(root("data/examples/4mo0_A.a3m")).unwrap();
    let mut party = Party::start(folder, shared, workers);
    let address = Arc::new(Mutex::new(party.server.address.clone()));
    let (ledger, stop) = (Arc::new(Mutex::new(Ledger::default())), Arc::new(AtomicBool::new(false)));
    let submitting = {
        let (address, ledger, stop) = (address.clone(), ledger.clone(), stop.clone());
        std::thread::spawn(move || client(&address, &ledger, &stop, 5 * cycles, &alignment))
    };
    let mut random = Random(count("FOLDRY_SEED", 11) as u64);
    let mut slowest = Duration::ZERO;
    for _ in 0..cycles {
        std::thread::sleep(Duration::from_millis(50 + random.below(700)));
        slowest = slowest.max(party.kill_one(&mut random, &address).unwrap_or_default());
    }
    stop.store(true, Ordering::Relaxed);
    submitting.join().unwrap();
    let ledger = ledger.lock().unwrap();
    let states = audit(&party.server.client(), &ledger);
    // Kills cost some, never most.
    assert!(states.get("succeeded").copied().unwrap_or(0) > ledger.accepted.len() / 2, "{states:?}");
    println!("{cycles} kills, {} jobs: {states:?}; slowest restart {slowest:?}", ledger.accepted.len());
}

/// Every accepted job has one end, one effect, and the right bytes.
fn audit(client: &Client, ledger: &Ledger) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::<String, usize>::new();
    for (key, id) in &ledger.accepted {
        let job = client.ended(id);
        let state = job["state"].as_str().unwrap().to_owned();
        match state.as_str() {
            "succeeded" => {
                // Of the seed that was asked for.
                let seed = &job["result"]["ranking"][0]["seed"];
                assert_eq!(format!("key-{seed}"), *key);
            }
            "cancelled" => assert!(ledger.cancelled.contains(id), "{key} was cancelled by nobody"),
            // Two kills by chance while it ran look like want of memory.
            "failed" if job["reason"]["code"] == "out_of_memory" => {}
            _ => panic!("{key}: {job}"),
        }
        one_end(client, &job, key);
        *states.entry(state).or_default() += 1;
    }
    states
}

#[test]
fn nothing_accepted_is_lost_when_servers_and_workers_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    churn(folder.path(), &["--lease", "3", "--queued", QUEUED], 0);
}

#[test]
fn nothing_accepted_is_lost_on_postgres_either() {
    let Some(url) = postgres::url() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().join("blobs");
    let shared = ["--store", &url, "--blobs", blobs.to_str().unwrap(), "--lease", "3", "--queued", QUEUED];
    churn(folder.path(), &shared, 2);
}
