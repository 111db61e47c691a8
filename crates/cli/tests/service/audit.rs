//! What must be so of every job that ended.

use crate::client::{Client, Event};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// It ended once, with nothing after; a result is the bytes that its sha256 says.
pub fn one_end(client: &Client, job: &Value, place: &str) {
    let id = job["id"].as_str().unwrap();
    let events = client.events(id, None, |_| false);
    let is_end = |event: &&Event| {
        let ends = ["succeeded", "failed", "cancelled"];
        event.kind == "state" && ends.iter().any(|end| event.data["state"] == *end)
    };
    assert_eq!(events.iter().filter(is_end).count(), 1, "{place}: {events:#?}");
    assert!(is_end(&&events[events.len() - 2]) && events[events.len() - 1].kind == "end", "{place}");
    let pdb = client.get(&format!("/v1/jobs/{id}/result"), &[("Accept", "chemical/x-pdb")]);
    if job["state"] != "succeeded" {
        assert_eq!(pdb.status, 409, "{place}: a result of a job that {}", job["state"]);
        return;
    }
    assert_eq!(pdb.status, 200, "{place}");
    let files = job["result"]["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["name"] == "rank_001.pdb").unwrap();
    let sha256: String = Sha256::digest(&pdb.body).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(file["sha256"], sha256, "{place}");
}

/// How often a worker began with it.
pub fn begun(client: &Client, id: &str) -> usize {
    let events = client.events(id, None, |_| false);
    events.iter().filter(|event| event.kind == "state" && event.data["state"] == "running").count()
}
