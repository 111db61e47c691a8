//! Children that get no memory, for real: the server answers all along.

use crate::server::{Server, Setup};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const SHORT: &str = "MKVLAWGDEYFRNQHSTPIC";

/// A job that takes gigabytes.
fn large() -> Value {
    json!({"name": "large", "sequence": SHORT.repeat(100), "options": {"recycles": 0}})
}

fn small() -> Value {
    json!({"name": "small", "sequence": SHORT, "options": {"recycles": 0}})
}

/// Limits every child that has the job until it has ended, asks the server meanwhile, and checks how it ends. Before, a child may still
/// be starting: what is shown here is a job that is too large, not a child that never gets ready.
fn refused(server: &mut Server, id: &str, mut limit: impl FnMut(u32)) -> Value {
    let client = server.client();
    let (mut limited, mut slowest) = (BTreeSet::new(), Duration::ZERO);
    let end = Instant::now() + Duration::from_secs(120);
    let job = loop {
        let asked = Instant::now();
        assert_eq!(client.get("/health/live", &[]).status, 200);
        let job = client.get(&format!("/v1/jobs/{id}"), &[]).json();
        slowest = slowest.max(asked.elapsed());
        for child in server.children() {
            if job["state"] == "running" && limited.insert(child) {
                limit(child);
            }
        }
        if job["state"] == "failed" || job["state"] == "succeeded" {
            break job;
        }
        assert!(Instant::now() < end, "{job}");
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_eq!((&job["state"], &job["reason"]["code"]), (&json!("failed"), &json!("out_of_memory")), "{job}");
    let told: Vec<Value> = client.events(id, None, |_| false).into_iter().map(|event| event.data).collect();
    assert_eq!(job["attempts"], 2, "{told:#?}\n{:#?}", server.log());
    assert_eq!(client.get("/health/ready", &[]).status, 200);
    println!("out of memory: {}; slowest two answers {slowest:?}", job["reason"]["message"]);
    job
}

/// The next job is folded by a child that nobody limits.
fn is_well(server: &Server) {
    let id = server.client().submit(&small());
    assert_eq!(server.client().ended(&id)["state"], "succeeded");
}

#[test]
fn a_child_whose_allocation_fails_is_out_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Setup::new(folder.path(), &[]).start();
    let id = server.client().submit(&large());
    // What it has and a little more, as under `ulimit -d`.
    let limit = |child: u32| {
        let args = ["--pid".to_owned(), child.to_string(), format!("--data={}", 200 << 20)];
        // A child that has just died needs none.
        let _ = Command::new("prlimit").args(args).output().expect("prlimit, of util-linux");
    };
    let job = refused(&mut server, &id, limit);
    assert!(job["reason"]["message"].as_str().unwrap().contains("refused memory"), "{job}");
    is_well(&server);
}

/// A control group, removed when it is dropped.
struct Group(PathBuf);

impl Group {
    /// With so much memory; `None` where none can be made.
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("foldry-test-{}", std::process::id());
        let (first, second) = (PathBuf::from("/sys/fs/cgroup/memory"), PathBuf::from("/sys/fs/cgroup"));
        let (group, file) = match first.is_dir() {
            true => (Self(first.join(name)), "memory.limit_in_bytes"),
            false => (Self(second.join(name)), "memory.max"),
        };
        std::fs::create_dir(&group.0).ok()?;
        std::fs::write(group.0.join(file), bytes.to_string()).ok()?;
        // No swap either, where the system counts it.
        let _ = std::fs::write(group.0.join("memory.swap.max"), "0");
        Some(group)
    }

    fn take(&self, process: u32) {
        let _ = std::fs::write(self.0.join("cgroup.procs"), process.to_string());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty only once the last child is gone.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_child_that_the_kernel_kills_for_memory_never_touches_the_server() {
    let Some(group) = Group::new(150 << 20) else {
        println!("NOT RUN: wants to make a control group with a limit of memory");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut server = Setup::new(folder.path(), &[]).start();
    let id = server.client().submit(&large());
    let job = refused(&mut server, &id, |child| group.take(child));
    assert!(job["reason"]["message"].as_str().unwrap().contains("signal 9"), "{job}");
    is_well(&server);
    drop(server);
}

/// A client that waits for a sequence that cannot be folded is told so.
#[test]
fn a_drop_in_client_whose_job_fails_is_answered_job_failed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Setup::new(folder.path(), &[]).start();
    let client = server.client();
    let asking = {
        let (client, sequence) = (client.clone(), SHORT.repeat(20));
        std::thread::spawn(move || {
            client.try_post("/foldSequence/v1/pdb/", &[], sequence.as_bytes()).unwrap()
        })
    };
    let end = Instant::now() + Duration::from_secs(60);
    while !asking.is_finished() {
        assert!(Instant::now() < end, "never answered");
        if client.get("/v1/jobs?state=running", &[]).json()["jobs"][0]["id"].is_string() {
            for child in server.children() {
                let _ = Command::new("kill").args(["-9", &child.to_string()]).status();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let answer = asking.join().unwrap();
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (500, &json!("job_failed")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().starts_with("out_of_memory: "), "{problem}");
    is_well(&server);
}
