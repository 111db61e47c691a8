//! Open-loop load while jobs are folded: requests begin on time, whether or not earlier ones were answered.

use crate::client::Client;
use crate::server::Setup;
use crate::{count, root};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Submits a second.
const RATE: u32 = 50;

#[test]
#[ignore = "measures time, so it wants a quiet machine; tests/service/run.sh full"]
fn submits_are_answered_in_time_while_jobs_are_folded() {
    let seconds = count("FOLDRY_LOAD_SECONDS", 60) as u32;
    let folder = tempfile::tempdir().unwrap();
    let alignment = std::fs::read_to_string(root("data/examples/4mo0_A.a3m")).unwrap();
    let server = Setup::new(folder.path(), &["--queued", "1000000"]).start();
    let (client, waits) = (server.client(), Arc::new(Mutex::new(Vec::new())));
    // Connections are made before, as a client of any length has them.
    let began = Instant::now() + Duration::from_millis(500);
    let senders: Vec<_> = (0..RATE)
        .map(|sender| {
            let (client, waits, alignment) = (client.clone(), waits.clone(), alignment.clone());
            std::thread::spawn(move || {
                for second in 0..seconds {
                    let due = began + Duration::from_millis(u64::from(second * 1000 + sender * 1000 / RATE));
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let seed = second * RATE + sender;
                    let body = json!({"name": "l", "alignment": alignment, "options": {"seed": seed}});
                    let answer = Client::try_submit(&client, &body, None).unwrap();
                    assert_eq!(answer.status, 202);
                    // From when it was due: a sender that is late has waited, too.
                    waits.lock().unwrap().push(due.elapsed());
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let mut waits = waits.lock().unwrap().clone();
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    let folded = client.get("/v1/jobs?state=succeeded&limit=1", &[]).json()["jobs"].as_array().unwrap().len();
    println!(
        "{} submits, {RATE} a second: p50 {:?}, p99 {:?}, p99.9 {:?}, most {:?}",
        waits.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    assert!(folded > 0, "nothing was folded meanwhile");
    assert!(at(0.99) < Duration::from_millis(100) && at(0.999) < Duration::from_millis(500));
}
