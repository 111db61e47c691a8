//! Machines whose clocks are an hour off, with libfaketime.

use crate::audit::{begun, one_end};
use crate::postgres;
use crate::server::{Server, Setup, Worker};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Debian's, of the package `libfaketime`.
fn library() -> Option<PathBuf> {
    let of_machine = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let found =
        of_machine.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    if found.is_none() {
        println!("NOT RUN: wants libfaketime (apt install faketime)");
    }
    found
}

/// Variables that set a process's clock off; how long things take stays as it is.
fn off(library: &Path, by: &str) -> [(&'static str, String); 3] {
    let library = library.to_str().unwrap().to_owned();
    [("LD_PRELOAD", library), ("FAKETIME", by.into()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into())]
}

fn start(setup: &Setup, library: &Path, by: &str) -> Server {
    let setup =
        off(library, by).into_iter().fold(setup.clone(), |setup, (name, value)| setup.with(name, value));
    setup.start()
}

/// The hour of the server's clock less ours, by the first words of its log.
fn hours_off(server: &mut Server) -> i64 {
    let line = server.log().iter().find(|line| line.contains("serve.ready")).unwrap().clone();
    let hour =
        line.split('T').nth(1).and_then(|time| time.get(..2)).and_then(|hour| hour.parse::<i64>().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    (hour.unwrap_or_else(|| panic!("no time in {line}")) - now / 3600 % 24 + 36) % 24 - 12
}

fn body(seed: usize, repeats: usize) -> Value {
    let sequence = "MKVLAWGDEYFRNQHSTPIC".repeat(repeats);
    json!({"name": "o", "sequence": sequence, "options": {"seed": seed, "recycles": 100}})
}

#[test]
fn servers_and_workers_of_other_hours_keep_their_leases() {
    let Some(library) = library() else { return };
    let Some(url) = postgres::url() else { return };
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().join("blobs");
    let shared = ["--store", &url, "--blobs", blobs.to_str().unwrap(), "--lease", "3", "--queued", "1000000"];
    let setup = Setup::new(folder.path(), &[&shared[..], &["--workers", "0"]].concat());
    let mut server = start(&setup, &library, "+1h");
    assert!((1..=2).contains(&hours_off(&mut server)), "its clock is not ahead: {:?}", server.log());
    let shared = shared.map(str::to_owned);
    let _workers: Vec<_> = [("behind", "-1h"), ("ahead", "+1h")]
        .map(|(name, by)| Worker::start_with(&folder.path().join(name), &shared, &off(&library, by)))
        .into();
    let client = server.client();
    let ids: Vec<_> = (1..=2).map(|seed| client.submit(&body(seed, 3))).collect();
    // Longer than a lease.
    let mut longest: f64 = 0.0;
    for id in &ids {
        let job = client.ended(id);
        assert_eq!((&job["state"], &job["attempts"]), (&json!("succeeded"), &json!(1)), "{job}");
        assert_eq!(begun(&client, id), 1, "its lease was taken: {job}");
        one_end(&client, &job, "clocks an hour off");
        longest = longest.max(job["result"]["seconds"].as_f64().unwrap());
    }
    assert!(longest > 3.0, "no job took longer than its lease: {longest} s");
    println!("clocks an hour off, PostgreSQL: {} jobs of up to {longest:.1} s, each begun once", ids.len());
}

#[test]
fn a_file_survives_a_clock_that_jumps_between_starts() {
    let Some(library) = library() else { return };
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path(), &["--lease", "3"]);
    let mut ids: Vec<String> = Vec::new();
    for (seed, by) in ["+0h", "-1h", "+1h", "-1h"].into_iter().enumerate() {
        let mut server = start(&setup, &library, by);
        let found = hours_off(&mut server);
        let expected = by[..2].parse::<i64>().unwrap();
        assert!((expected..=expected + 1).contains(&found), "{by}: its clock is {found} h off");
        let client = server.client();
        // What the start before left running, whatever the hour was then.
        if let Some(id) = ids.last() {
            let job = client.ended(id);
            assert_eq!((&job["state"], &job["attempts"]), (&json!("succeeded"), &json!(1)), "{by}: {job}");
            one_end(&client, &job, by);
        }
        ids.push(client.submit(&body(seed, 1)));
        client.until(&ids[seed], "running");
        server.kill();
    }
    let server = setup.start();
    assert_eq!(server.client().ended(&ids[3])["state"], "succeeded");
    println!("a clock that jumps by hours, SQLite: {} jobs taken back and folded", ids.len());
}
