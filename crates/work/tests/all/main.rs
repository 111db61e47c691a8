//! The supervisor with children that do everything a child may do.

#[path = "../../../spans/tests/all/collector.rs"]
mod collector;

use collector::{Answer, Collector, attribute};
use jobs::{Blobs, Event, Job, JobId, JobStore, Options, Policy, SqliteStore, State, Submission};
use serde_json::{Value, json};
use spans::Spans;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use work::{Launch, Order, Product, Supervisor, Times, Wish};

/// A child in shell: what it does depends on the order's sequence.
const CHILD: &str = r#"#!/bin/bash
echo "$$" >>"$LOG"
echo '{"say":"ready","version":"fake 1","device_class":"cpu","device":"shell","models":[]}'
while read -r line; do
    out=$(sed -n 's/.*"output":"\([^"]*\)".*/\1/p' <<<"$line")
    done='{"say":"done","model":"m","weights_sha256":"w","device":"shell","ranking":[{"rank":1,"seed":0,"mean_plddt":90.5,"ptm":null,"passes":2}]}'
    case $line in
        *'"sequence":"FINE'*)
            echo '{"say":"progress","told":{"kind":"stage","stage":"features"}}'
            echo '{"say":"progress","told":{"kind":"pass","seed":0,"pass":1,"passes":1,"mean_plddt":88.0,"ptm":null,"change":1.5,"seconds":0.1}}'
            printf 'ATOM' >"$out/rank_001.pdb"
            echo "$done" ;;
        *'"sequence":"KILL'*) kill -9 $$ ;;
        *'"sequence":"CRASH'*) exit 3 ;;
        *'"sequence":"STARVE'*) echo 'memory allocation of 5000000000 bytes failed' >&2; seq 4000 >&2; kill -6 $$ ;;
        *'"sequence":"STACK'*) echo 'failed to allocate an alternative stack: Cannot allocate memory (os error 12)' >&2; kill -6 $$ ;;
        *'"sequence":"ABORT'*) echo 'no reason of memory' >&2; kill -6 $$ ;;
        *'"sequence":"DEAF'*) sleep 1000 & echo "$!" >>"$LOG"; wait; sleep 1000 ;;
        *'"sequence":"STEADY'*) read -r line; echo '{"say":"stopped"}' ;;
        *'"sequence":"LATE'*) read -r line; printf 'ATOM' >"$out/rank_001.pdb"; echo "$done" ;;
        *'"sequence":"NONSENSE'*) echo 'hello' ;;
        *'"sequence":"WRONG'*) echo '{"say":"failed","code":"bad_input","message":"no","again":false}' ;;
        *'"sequence":"AGAIN'*) echo '{"say":"failed","code":"fold_failed","message":"no luck","again":true}' ;;
    esac
done
"#;

struct Bench {
    folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
    blobs: Blobs,
    wish: watch::Sender<Wish>,
    task: JoinHandle<()>,
}

impl Bench {
    async fn new(stop: Duration) -> Self {
        Self::with(stop, Spans::default()).await
    }

    async fn with(stop: Duration, spans: Spans) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let policy = Policy { backoff: Duration::from_millis(20), ..Policy::default() };
        let options = Options { policy, ..Options::default() };
        let store = Arc::new(SqliteStore::open(&folder.path().join("jobs.db"), options).await.unwrap());
        let blobs = Blobs::open(&folder.path().join("blobs")).unwrap();
        let program = folder.path().join("child");
        std::fs::write(&program, CHILD).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let supervisor = Supervisor {
            store: store.clone(),
            blobs: blobs.clone(),
            launch: Launch {
                program,
                arguments: Vec::new(),
                environment: vec![("LOG".into(), folder.path().join("log").into())],
            },
            name: "w1".into(),
            scratch: folder.path().join("scratch"),
            times: Times {
                stop,
                beat: Duration::from_millis(100),
                poll: Duration::from_millis(50),
                ..Times::default()
            },
            spans,
        };
        let (wish, wishes) = watch::channel(Wish::Work);
        let task = tokio::spawn(supervisor.run(watch::channel(None).0, wishes));
        Self { folder, store, blobs, wish, task }
    }

    async fn submit(&self, sequence: &str) -> JobId {
        let order = Order {
            name: "t".into(),
            sequence: sequence.into(),
            alignment: None,
            templates: Vec::new(),
            options: work::Options::default(),
            weights_sha256: "w".into(),
        };
        let submission = Submission::new("tenant", serde_json::to_value(order).unwrap());
        self.store.submit(vec![submission]).await.unwrap().remove(0).job.id
    }

    async fn until(&self, job: JobId, wanted: impl Fn(&Job) -> bool) -> Job {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.store.get(job).await.unwrap();
            if wanted(&found) {
                return found;
            }
            assert!(Instant::now() < end, "{found:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn ended(&self, job: JobId) -> Job {
        self.until(job, |job| job.state.is_terminal()).await
    }

    async fn running(&self, job: JobId) {
        self.until(job, |job| job.state == State::Running).await;
    }

    /// The one after it is folded: nothing an order does ends the supervisor.
    async fn is_well(&self) {
        let job = self.submit("FINE").await;
        assert_eq!(self.ended(job).await.state, State::Succeeded);
    }

    /// Numbers of the processes that were started.
    fn processes(&self) -> Vec<u32> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Nothing that was started is left, and no file of a job.
    async fn end(mut self) {
        self.wish.send(Wish::Drain(Instant::now())).unwrap();
        (&mut self.task).await.unwrap();
        for process in self.processes() {
            let gone = || {
                let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
                status.is_empty() || status.contains(") Z")
            };
            let end = Instant::now() + Duration::from_secs(10);
            while !gone() {
                assert!(Instant::now() < end, "process {process} is left");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let scratch = self.folder.path().join("scratch");
        assert!(!scratch.exists() || is_empty(&scratch));
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

const SOON: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_job_is_folded_and_told_of() {
    let bench = Bench::new(SOON).await;
    let id = bench.submit("FINE").await;
    let job = bench.ended(id).await;
    let product: Product = serde_json::from_value(job.result.unwrap()).unwrap();
    assert_eq!(
        (product.version.as_str(), product.residues, product.ranking[0].mean_plddt),
        ("fake 1", 4, 90.5)
    );
    let pdb = product.file("rank_001.pdb").unwrap().sha256.parse().unwrap();
    assert_eq!(bench.blobs.get(pdb).await.unwrap(), b"ATOM");
    let events: Vec<Event> = bench.store.events(id, 0, 100).await.unwrap();
    let told: Vec<(&str, &Value)> = events.iter().map(|event| (event.kind.as_str(), &event.data)).collect();
    assert_eq!(told[2], ("stage", &json!({"stage": "features"})));
    assert_eq!((told[3].0, &told[3].1["mean_plddt"]), ("pass", &json!(88.0)));
    assert_eq!(told.iter().filter(|told| told.0 == Event::STATE).count(), 3);
    bench.is_well().await;
    // One child for both.
    assert_eq!(bench.processes().len(), 1);
    bench.end().await;
}

#[tokio::test]
async fn a_child_that_the_system_kills_twice_was_out_of_memory() {
    let bench = Bench::new(SOON).await;
    let id = bench.submit("KILL").await;
    let job = bench.ended(id).await;
    assert_eq!((job.state, job.attempts), (State::Failed, 2));
    assert_eq!(job.reason.unwrap().code, "out_of_memory");
    bench.is_well().await;
    bench.end().await;
}

#[tokio::test]
async fn a_child_that_is_refused_memory_says_so_and_another_abort_is_none() {
    let bench = Bench::new(SOON).await;
    let (starve, stack) = (bench.submit("STARVE").await, bench.submit("STACK").await);
    let abort = bench.submit("ABORT").await;
    for starved in [starve, stack] {
        let job = bench.ended(starved).await;
        assert_eq!((job.attempts, job.reason.unwrap().code.as_str()), (2, "out_of_memory"));
    }
    let abort = bench.ended(abort).await;
    assert_eq!((abort.attempts, abort.reason.unwrap().code.as_str()), (3, "worker_lost"));
    bench.is_well().await;
    bench.end().await;
}

#[tokio::test]
async fn an_order_that_kills_three_children_is_poison() {
    let bench = Bench::new(SOON).await;
    let id = bench.submit("CRASH").await;
    let job = bench.ended(id).await;
    assert_eq!((job.state, job.attempts), (State::Failed, 3));
    let reason = job.reason.unwrap();
    assert_eq!(reason.code, "worker_lost");
    assert!(reason.message.contains("code 3"), "{}", reason.message);
    bench.is_well().await;
    bench.end().await;
}

#[tokio::test]
async fn a_deaf_child_and_what_it_started_are_killed_on_cancel() {
    let bench = Bench::new(SOON).await;
    let id = bench.submit("DEAF").await;
    bench.running(id).await;
    let asked = Instant::now();
    bench.store.cancel(id).await.unwrap();
    assert_eq!(bench.ended(id).await.state, State::Cancelled);
    assert!(asked.elapsed() >= SOON, "it had its time to stop");
    bench.is_well().await;
    bench.end().await;
}

#[tokio::test]
async fn a_child_that_listens_stays_after_a_cancel() {
    let bench = Bench::new(Duration::from_secs(60)).await;
    let id = bench.submit("STEADY").await;
    bench.running(id).await;
    bench.store.cancel(id).await.unwrap();
    assert_eq!(bench.ended(id).await.state, State::Cancelled);
    bench.is_well().await;
    assert_eq!(bench.processes().len(), 1);
    bench.end().await;
}

#[tokio::test]
async fn a_drain_gives_the_job_back_with_its_attempt() {
    let bench = Bench::new(Duration::from_secs(60)).await;
    let id = bench.submit("STEADY").await;
    bench.running(id).await;
    bench.wish.send(Wish::Drain(Instant::now() + SOON)).unwrap();
    let job = bench.until(id, |job| job.state == State::Queued).await;
    assert_eq!(job.attempts, 0);
    bench.end().await;
}

#[tokio::test]
async fn what_is_done_in_time_counts_in_a_drain() {
    let bench = Bench::new(Duration::from_secs(60)).await;
    let id = bench.submit("LATE").await;
    bench.running(id).await;
    bench.wish.send(Wish::Drain(Instant::now() + SOON)).unwrap();
    assert_eq!(bench.ended(id).await.state, State::Succeeded);
    bench.end().await;
}

#[tokio::test]
async fn a_lost_lease_ends_the_work_and_changes_nothing() {
    let bench = Bench::new(SOON).await;
    let id = bench.submit("DEAF").await;
    bench.running(id).await;
    // Another server took the jobs over: what the first one does is void.
    bench.store.reap(jobs::Reap::Boot).await.unwrap();
    let again = bench.until(id, |job| job.fence == 2 && job.state == State::Running).await;
    assert_eq!(again.attempts, 1);
    bench.store.cancel(id).await.unwrap();
    assert_eq!(bench.ended(id).await.state, State::Cancelled);
    bench.is_well().await;
    bench.end().await;
}

#[tokio::test]
async fn failures_are_told_apart() {
    let bench = Bench::new(SOON).await;
    let (nonsense, wrong, again) =
        (bench.submit("NONSENSE").await, bench.submit("WRONG").await, bench.submit("AGAIN").await);
    let mut found = Vec::new();
    for id in [nonsense, wrong, again] {
        let job = bench.ended(id).await;
        found.push((job.state, job.attempts, job.reason.unwrap().code));
    }
    let failed = |attempts, code: &str| (State::Failed, attempts, code.to_owned());
    assert_eq!(found, [failed(2, "worker_broken"), failed(1, "bad_input"), failed(2, "fold_failed")]);
    bench.is_well().await;
    bench.end().await;
}

#[tokio::test]
async fn a_request_that_is_no_order_fails_at_once() {
    let bench = Bench::new(SOON).await;
    let submission = Submission::new("tenant", json!({"sequence": 5}));
    let id = bench.store.submit(vec![submission]).await.unwrap().remove(0).job.id;
    let job = bench.ended(id).await;
    assert_eq!((job.state, job.reason.unwrap().code.as_str()), (State::Failed, "bad_order"));
    bench.is_well().await;
    bench.end().await;
}

#[tokio::test]
async fn each_attempt_is_a_span_with_its_outcome() {
    let mut collector = Collector::start(Answer::Status(200));
    let spans = Spans::start(&collector.url().parse().unwrap(), "test").unwrap();
    let bench = Bench::with(SOON, spans.clone()).await;
    let twice = bench.submit("KILL").await;
    bench.ended(twice).await;
    let lost = bench.submit("DEAF").await;
    bench.running(lost).await;
    let submission = Submission::new("tenant", json!({"sequence": "CANARY"}));
    let nonsense = bench.store.submit(vec![submission]).await.unwrap().remove(0).job.id;
    bench.store.cancel(lost).await.unwrap();
    bench.ended(nonsense).await;
    bench.end().await;
    let mut span = |job: JobId, attempt: &str| {
        collector.wait(|span| {
            attribute(span, "foldry.job.id") == Some(job.to_string())
                && attribute(span, "foldry.attempt").as_deref() == Some(attempt)
        })
    };
    for (job, attempt, outcome, code) in [
        (twice, "1", "retry_wait", Some("out_of_memory")),
        (twice, "2", "failed", Some("out_of_memory")),
        (lost, "1", "cancelled", None),
        (nonsense, "1", "failed", Some("bad_order")),
    ] {
        let span = span(job, attempt);
        let text = |name: &str| attribute(&span, name);
        assert_eq!(text("foldry.outcome").as_deref(), Some(outcome), "{span:#}");
        assert_eq!(text("error.type").as_deref(), code, "{span:#}");
        assert_eq!(span["status"]["code"] == 2, code.is_some(), "{span:#}");
        assert_eq!(span["traceId"], job.to_string().replace('-', ""));
        assert_eq!(text("foldry.worker").as_deref(), Some("w1"));
    }
    for word in ["CANARY", "KILL", "DEAF"] {
        assert!(!collector.text.contains(word), "{}", collector.text);
    }
}
