//! A fold from the request to its bytes, and the server's other promises, one at a time.

use crate::root;
use crate::server::Setup;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

/// The example that the README folds.
fn example() -> Value {
    let alignment = std::fs::read_to_string(root("data/examples/4mo0_A.a3m")).unwrap();
    json!({"name": "4mo0_A", "alignment": alignment, "options": {"seed": 3, "recycles": 2}})
}

/// One that takes a few seconds.
fn long(seed: u64) -> Value {
    let sequence = "MKVLAWGDEYFRNQHSTPIC".repeat(30);
    json!({"name": "long", "sequence": sequence, "options": {"seed": seed, "recycles": 50}})
}

#[test]
fn a_job_becomes_the_bytes_of_foldry_fold() {
    let folder = tempfile::tempdir().unwrap();
    let server = Setup::new(folder.path(), &[]).start();
    let client = server.client();
    let id = client.submit(&example());
    let events = client.events(&id, None, |_| false);
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!((kinds[0], kinds[kinds.len() - 1]), ("state", "end"));
    let passes: Vec<&Value> =
        events.iter().filter(|event| event.kind == "pass").map(|event| &event.data).collect();
    assert_eq!(passes.iter().map(|pass| pass["pass"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(passes.iter().all(|pass| pass["mean_plddt"].as_f64().unwrap() > 1.0));
    let coverage = kinds.iter().position(|kind| *kind == "coverage").unwrap();
    assert!(
        coverage < kinds.iter().position(|kind| *kind == "pass").unwrap(),
        "coverage comes before folding"
    );
    let closest = events[coverage].data["bands"][0].as_array().unwrap();
    assert!(
        closest.iter().all(|rows| rows.as_u64().unwrap() >= 1),
        "the sequence itself is in the closest band"
    );
    // From the middle on, the same again.
    let (known, unknown) = events.split_at(events.len() / 2 + 1);
    let rest = client.events(&id, Some(&known[known.len() - 1].id), |_| false);
    let tail: Vec<&str> = rest.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(tail, unknown.iter().map(|event| event.id.as_str()).collect::<Vec<_>>());

    let job = client.ended(&id);
    assert_eq!(job["state"], "succeeded", "{job}");
    let pdb = client.get(&format!("/v1/jobs/{id}/result"), &[("Accept", "chemical/x-pdb")]);
    let fold = Command::new(env!("CARGO_BIN_EXE_foldry"))
        .args([
            "fold",
            root("data/examples/4mo0_A.a3m").to_str().unwrap(),
            "--seed",
            "3",
            "--recycles",
            "2",
            "-o",
        ])
        .arg(folder.path().join("out"))
        .env("FOLDRY_WEIGHTS", folder.path().join("none"))
        .output()
        .unwrap();
    assert!(fold.status.success());
    let file = std::fs::read(folder.path().join("out/4mo0_A/rank_001.pdb")).unwrap();
    assert_eq!(String::from_utf8(pdb.body).unwrap(), String::from_utf8(file).unwrap());
    // The same content again is answered at once.
    let again = client.submit(&example());
    let again = client.ended(&again);
    assert_eq!((&again["state"], &again["reused"]), (&json!("succeeded"), &json!(true)));
}

#[test]
fn a_cancel_stops_a_running_job_and_the_next_is_folded() {
    let folder = tempfile::tempdir().unwrap();
    let server = Setup::new(folder.path(), &[]).start();
    let client = server.client();
    let id = client.submit(&long(1));
    client.until(&id, "running");
    assert!(client.cancel(&id).status < 300);
    assert_eq!(client.ended(&id)["state"], "cancelled");
    let next = client.submit(&example());
    assert_eq!(client.ended(&next)["state"], "succeeded");
}

#[test]
fn a_worker_killed_for_memory_never_touches_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Setup::new(folder.path(), &[]).start();
    let client = server.client();
    let id = client.submit(&long(2));
    for _ in 0..2 {
        client.until(&id, "running");
        // The system's own killer sends the same signal.
        for child in server.children() {
            Command::new("kill").args(["-9", &child.to_string()]).status().unwrap();
        }
        let end = Instant::now() + Duration::from_secs(30);
        while client.get(&format!("/v1/jobs/{id}"), &[]).json()["state"] == "running" {
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let job = client.ended(&id);
    assert_eq!((&job["state"], &job["reason"]["code"]), (&json!("failed"), &json!("out_of_memory")));
    let next = client.submit(&example());
    assert_eq!(client.ended(&next)["state"], "succeeded");
}

#[test]
fn a_server_told_to_stop_gives_running_jobs_back() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), &["--drain", "0"]);
    let mut server = setup.start();
    let id = server.client().submit(&long(3));
    server.client().until(&id, "running");
    server.signal("TERM");
    assert_eq!(server.ended(Duration::from_secs(20)), 0, "{:#?}", server.log());
    let server = setup.start();
    let job = server.client().until(&id, "running");
    assert_eq!(job["attempts"], 1, "the first attempt did not count");
    server.client().cancel(&id);
}

#[test]
fn no_secret_and_no_sequence_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.json");
    let add = Command::new(env!("CARGO_BIN_EXE_foldry"))
        .args(["keys", "add", "--tenant", "lab", "--keys", keys.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(add.status.success(), "{}", String::from_utf8_lossy(&add.stderr));
    let key = String::from_utf8(add.stdout).unwrap().trim().to_owned();
    let mut server = Setup::new(folder.path(), &["--keys", keys.to_str().unwrap()]).start();
    assert_eq!(server.client().get("/v1/jobs", &[]).status, 401);
    let client = server.client().with_key(&key);
    let canary = "WCANARYWCANARYWHHHWKKKWMMMW";
    let hook = json!({"url": "http://127.0.0.1:9/hook", "secret": "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk="});
    for sequence in [canary.to_owned(), format!("{canary}1")] {
        let body = json!({"name": "t", "sequence": sequence, "webhook": hook});
        let answer = client.try_submit(&body, Some("canary-key")).unwrap();
        if let Some(id) = answer.json()["id"].as_str() {
            client.ended(id);
        }
    }
    client.get(&format!("/v1/jobs?cursor={canary}"), &[]);
    client.with_key(&format!("{key}x")).get("/v1/jobs", &[]);
    server.signal("TERM");
    server.ended(Duration::from_secs(60));
    let secret = key.split_once('.').unwrap().1.to_owned();
    let log = server.log().join("\n");
    assert!(log.contains("serve.end"), "{log}");
    for canary in [canary, &secret, "Y2FuYXJ5", "canary-key"] {
        assert!(!log.contains(canary), "{canary} in {log}");
    }
}
