//! A disk without a free byte, and a database that another program has locked, as clients see them.

use crate::client::{Answer, Client};
use crate::server::Setup;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The job that is folded before all others.
const URGENT: u64 = 1_000_000;

/// A job whose alignment takes so many thousand bytes on disk.
fn body(number: u64, kilobytes: u64) -> Value {
    let query = "MKVLAWGDEYFRNQHSTPIC";
    // Not alike, so that each is a blob of its own.
    let row = |at: u64| {
        let letters = (0..20).map(|i| query.as_bytes()[((at * 7 + i * (number + 3)) % 20) as usize] as char);
        format!(">r{number}_{at}\n{}\n", letters.collect::<String>())
    };
    let rows: String = (0..kilobytes * 1000 / 30).map(row).collect();
    let options = json!({"seed": number, "recycles": 0, "max_msa": [4, 4]});
    let priority = if number == URGENT { 100 } else { 0 };
    json!({"name": "d", "alignment": format!(">q\n{query}\n{rows}"), "options": options, "priority": priority})
}

/// The stable code of a problem.
fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or("").to_owned())
}

fn send(client: &Client, number: u64, kilobytes: u64) -> Answer {
    client.try_submit(&body(number, kilobytes), Some(&format!("key-{number}"))).unwrap()
}

/// Submits until there is no room, also not on a few tries: PostgreSQL may find some in another page. The ids of what was
/// accepted, and the number of the first that was not.
fn fill(client: &Client, kilobytes: u64) -> (Vec<String>, u64) {
    let mut accepted = Vec::new();
    for number in 1..2000 {
        let mut tries = (0..5).map(|_| send(client, number, kilobytes)).inspect(|answer| {
            let full = answer.status == 202 || code(answer) == (507, "disk_full".into());
            assert!(full, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
        });
        match tries.find(|answer| answer.status == 202) {
            Some(answer) => accepted.push(answer.json()["id"].as_str().unwrap().to_owned()),
            None => return (accepted, number),
        }
    }
    panic!("the disk was never full");
}

/// While it is full it says so, and reading goes on.
fn is_full(client: &Client, accepted: &[String], refused: u64, kilobytes: u64) {
    for _ in 0..3 {
        assert_eq!(code(&send(client, refused, kilobytes)), (507, "disk_full".into()));
    }
    assert_eq!(client.get("/health/live", &[]).status, 200);
    assert_eq!(client.get(&format!("/v1/jobs/{}", accepted[0]), &[]).json()["state"], "queued");
}

/// With room again what was refused is accepted, by the same key, and what was accepted before can be folded.
fn goes_on(setup: &Setup, mut accepted: Vec<String>, refused: u64, kilobytes: u64, place: &str) {
    let server = setup.start();
    let client = server.client();
    let count = accepted.len();
    let answer = send(&client, refused, kilobytes);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    accepted.push(answer.json()["id"].as_str().unwrap().to_owned());
    for (number, id) in (1..).zip(&accepted) {
        // By key it is the one that was accepted, and no other.
        assert_eq!(send(&client, number, kilobytes).json()["id"], **id, "{place}: job {number}");
    }
    let urgent = client.submit(&body(URGENT, kilobytes));
    for id in [&accepted[0], &urgent] {
        let job = client.ended(id);
        assert_eq!(job["state"], "succeeded", "{place}: {job}");
        crate::audit::one_end(&client, &job, place);
    }
    println!("{place}: {count} accepted before it was full, all there after");
}

/// Runs itself again where a folder is a disk of 6 MiB that nobody else sees.
#[test]
fn a_full_disk_is_507_and_nothing_accepted_is_lost() {
    if let Some(disk) = std::env::var_os("FOLDRY_SMALL_DISK") {
        return on_a_small_disk(Path::new(&disk));
    }
    let mount = |command: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "--mount", "sh", "-c"]);
        unshare.arg(format!(r#"mount -t tmpfs -o size=6m small "$FOLDRY_SMALL_DISK" && {command}"#));
        unshare
    };
    let folder = tempfile::tempdir().unwrap();
    let can = mount("true").env("FOLDRY_SMALL_DISK", folder.path()).output();
    if !can.is_ok_and(|done| done.status.success()) {
        println!("NOT RUN: wants to mount a disk in a namespace of its own (unshare)");
        return;
    }
    let mut again = mount(r#"exec "$0" "$@""#);
    again.arg(std::env::current_exe().unwrap());
    again.args(["--exact", "disk::a_full_disk_is_507_and_nothing_accepted_is_lost", "--nocapture"]);
    let done = again.env("FOLDRY_SMALL_DISK", folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "{said}{errors}");
    // It was another disk.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    print!("{}", said.lines().filter(|line| line.starts_with("full disk")).collect::<String>() + "\n");
}

fn on_a_small_disk(disk: &Path) {
    const KILOBYTES: u64 = 60;
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let accepting = Setup::new(disk, &["--disk-reserve", "0", "--workers", "0"]).start();
    let client = accepting.client();
    let (accepted, refused) = fill(&client, KILOBYTES);
    assert!(accepted.len() > 5, "only {} fitted", accepted.len());
    is_full(&client, &accepted, refused, KILOBYTES);
    drop(accepting);
    std::fs::remove_file(&ballast).unwrap();
    let setup = Setup::new(disk, &["--disk-reserve", "0"]);
    goes_on(&setup, accepted, refused, KILOBYTES, "full disk, SQLite and folder");
}

/// The database's disk, of a cluster on a small one: `tests/service/small_postgres.sh`.
#[test]
fn a_full_disk_of_postgres_is_507_and_nothing_accepted_is_lost() {
    let names = ["FOLDRY_TEST_POSTGRES_SMALL", "FOLDRY_TEST_POSTGRES_BALLAST"].map(std::env::var);
    let [Ok(url), Ok(ballast)] = names else {
        println!("NOT RUN: wants a database on a small disk (tests/service/small_postgres.sh)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().join("blobs");
    let shared = ["--store", &url, "--blobs", blobs.to_str().unwrap(), "--queued", "1000000"];
    let accepting = Setup::new(folder.path(), &[&shared[..], &["--workers", "0"]].concat()).start();
    let client = accepting.client();
    // The blobs are elsewhere: what fills the database is many small jobs.
    let (accepted, refused) = fill(&client, 1);
    assert!(accepted.len() > 20, "only {} fitted", accepted.len());
    is_full(&client, &accepted, refused, 1);
    std::fs::remove_file(ballast).unwrap();
    // The same server, too, goes on by itself.
    assert_eq!(send(&client, refused, 1).status, 202);
    drop(accepting);
    goes_on(&Setup::new(folder.path(), &shared), accepted, refused, 1, "full disk, PostgreSQL");
}

#[tokio::test]
async fn a_locked_database_is_503_and_accepts_once_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let server = Setup::new(folder.path(), &["--workers", "0"]).start();
    let client = server.client();
    let file = folder.path().join("data/jobs.db");
    let mut other = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let began = Instant::now();
    let answers: Vec<_> = std::thread::scope(|scope| {
        // All at once: a write waits for some seconds first.
        let sent: Vec<_> = (1..=4)
            .map(|number| {
                scope.spawn({
                    let client = client.clone();
                    move || send(&client, number, 1)
                })
            })
            .collect();
        // Whoever reads waits for nobody.
        let asked = Instant::now();
        assert_eq!(client.get("/v1/jobs", &[]).json()["jobs"], json!([]));
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    for answer in &answers {
        assert_eq!(code(answer), (503, "store_busy".into()));
    }
    let waited = began.elapsed();
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    for number in 1..=4 {
        assert_eq!(send(&client, number, 1).status, 202);
    }
    assert_eq!(client.get("/v1/jobs", &[]).json()["jobs"].as_array().unwrap().len(), 4);
    println!("a locked database: 503 store_busy after {waited:?}, accepted once it was free");
}
