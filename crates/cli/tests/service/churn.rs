//! Servers and workers are killed at random moments; a client's own log says what must be there in the end.

use crate::client::Client;
use crate::server::Setup;
use crate::{count, root};
use serde_json::{Value, json};
use std::collections::BTreeMap;
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

fn body(number: usize, alignment: &str) -> Value {
    // Each its own seed, so that none is answered from another's result.
    json!({"name": "c", "alignment": alignment, "options": {"seed": number, "recycles": number % 3}, "max_attempts": 20})
}

/// Submits and cancels until it is told to stop. A request that got no answer is made again with its key.
fn client(address: &Mutex<String>, ledger: &Mutex<Ledger>, stop: &AtomicBool, alignment: &str) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("key-{number}");
        let id = loop {
            let now = address.lock().unwrap().clone();
            match Client::new(&now).try_submit(&body(number, alignment), Some(&key)) {
                Ok(answer) if answer.status == 202 => break answer.json()["id"].as_str().unwrap().to_owned(),
                // Starting, or stopping.
                Ok(answer) if answer.status == 503 => {}
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

#[test]
fn nothing_accepted_is_lost_when_servers_and_workers_are_killed() {
    let cycles = count("FOLDRY_CYCLES", 6);
    let folder = tempfile::tempdir().unwrap();
    let alignment = std::fs::read_to_string(root("data/examples/4mo0_A.a3m")).unwrap();
    let setup = Setup::new(folder.path(), &["--lease", "3", "--queued", "1000000"]);
    let mut server = setup.start();
    let address = Arc::new(Mutex::new(server.address.clone()));
    let (ledger, stop) = (Arc::new(Mutex::new(Ledger::default())), Arc::new(AtomicBool::new(false)));
    let submitting = {
        let (address, ledger, stop, alignment) =
            (address.clone(), ledger.clone(), stop.clone(), alignment.clone());
        std::thread::spawn(move || client(&address, &ledger, &stop, &alignment))
    };
    let mut random = Random(count("FOLDRY_SEED", 11) as u64);
    let mut slowest = Duration::ZERO;
    for cycle in 0..cycles {
        std::thread::sleep(Duration::from_millis(50 + random.below(700)));
        if cycle % 3 == 2 {
            for child in server.children() {
                let _ = Command::new("kill").args(["-9", &child.to_string()]).status();
            }
            continue;
        }
        server.kill();
        let down = Instant::now();
        server = setup.start();
        *address.lock().unwrap() = server.address.clone();
        slowest = slowest.max(down.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    submitting.join().unwrap();

    let (client, ledger) = (server.client(), ledger.lock().unwrap());
    assert!(ledger.accepted.len() >= cycles, "{} jobs in {cycles} cycles", ledger.accepted.len());
    let mut states = BTreeMap::<String, usize>::new();
    for (key, id) in &ledger.accepted {
        let job = client.ended(id);
        let state = job["state"].as_str().unwrap().to_owned();
        match state.as_str() {
            "succeeded" => {
                // The right bytes: what its sha256 says, of the seed that was asked for.
                let pdb = client.get(&format!("/v1/jobs/{id}/result"), &[("Accept", "chemical/x-pdb")]);
                assert_eq!(pdb.status, 200);
                let files = job["result"]["files"].as_array().unwrap();
                let file = files.iter().find(|file| file["name"] == "rank_001.pdb").unwrap();
                assert_eq!(file["bytes"].as_u64().unwrap() as usize, pdb.body.len());
                assert!(pdb.header("etag").unwrap().contains(file["sha256"].as_str().unwrap()));
                let seed = &job["result"]["ranking"][0]["seed"];
                assert_eq!(format!("key-{seed}"), *key);
            }
            "cancelled" => assert!(ledger.cancelled.contains(id), "{key} was cancelled by nobody"),
            _ => panic!("{key}: {job}"),
        }
        // One end, and nothing after it.
        let events = client.events(id, None, |_| false);
        let ends = events.iter().filter(|event| {
            event.kind == "state"
                && ["succeeded", "failed", "cancelled"].iter().any(|end| event.data["state"] == *end)
        });
        assert_eq!(ends.count(), 1, "{key}");
        *states.entry(state).or_default() += 1;
    }
    println!("{cycles} cycles, {} jobs: {states:?}; slowest restart {slowest:?}", ledger.accepted.len());
}
