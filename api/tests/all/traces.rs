//! Spans of a request and of the attempt it led to, as a collector gets them.

#[path = "../../../crates/spans/tests/all/collector.rs"]
mod collector;

use crate::server::{Server, engine};
use axum::body::Body;
use axum::http::Request;
use collector::{Answer, Collector, attribute};
use jobs::Options;
use serde_json::json;
use spans::Spans;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use work::{Launch, Supervisor, Times, Wish};

const CHILD: &str = r#"
echo '{"say":"ready","version":"foldry 0.0.0","device_class":"cpu","device":"shell","models":[]}'
while read -r line; do
    out=$(printf '%s' "$line" | sed -n 's/.*"output":"\([^"]*\)".*/\1/p')
    printf 'ATOM' >"$out/rank_001.pdb"
    echo '{"say":"done","model":"mini","weights_sha256":"w","device":"shell","ranking":[{"rank":1,"seed":0,"mean_plddt":90.5,"ptm":null,"passes":2}]}'
done
"#;

const SEQUENCE: &str = "WWCANARYWW";
const SECRET: &str = "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ";
const TOKEN: &str = "foldry_CANARYKEY.CANARYSECRET";

async fn server(spans: Spans) -> Server {
    Server::with(|app, _| app.spans = spans, Options::default()).await
}

fn supervisor(server: &Server, spans: Spans) -> Supervisor {
    Supervisor {
        store: server.store.clone(),
        blobs: server.blobs.clone(),
        launch: Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), CHILD.into()],
            environment: Vec::new(),
        },
        name: "w1".into(),
        scratch: server.folder.path().join("scratch"),
        times: Times { poll: Duration::from_millis(50), ..Times::default() },
        spans,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submitted_job_is_seen_and_what_is_in_it_is_not() {
    let mut collector = Collector::start(Answer::Status(200));
    let spans = Spans::start(&collector.url().parse().unwrap(), "test").unwrap();
    let server = server(spans.clone()).await;
    let (_wish, wishes) = watch::channel(Wish::Work);
    let worker =
        tokio::spawn(supervisor(&server, spans.clone()).run(watch::channel(Some(engine())).0, wishes));

    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let headers = [
        ("traceparent", format!("00-{trace}-{parent}-01")),
        ("x-request-id", "r-17".to_owned()),
        ("authorization", format!("Bearer {TOKEN}")),
    ];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let body = json!({"name": "CANARYNAME", "sequence": SEQUENCE, "alignment": format!(">q\n{SEQUENCE}\n"),
        "webhook": {"url": "https://example.com/CANARYHOOK", "secret": SECRET}});
    let answer = server.post_with("/v1/jobs", body, &headers).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    server.reach(&id, "succeeded").await;
    // What is refused is told without its words, too.
    let wrong = json!({"sequence": format!("{SEQUENCE}1")});
    assert_eq!(server.post_with("/v1/jobs", wrong, &[]).await.status, 422);
    server.get(&format!("/v1/jobs/{SEQUENCE}?{SEQUENCE}={SECRET}")).await;
    server.get(&format!("/{SEQUENCE}")).await;
    let odd = Request::builder().method(SEQUENCE).uri("/v1/jobs").header("tracestate", SECRET);
    server.ask(odd.body(Body::empty()).unwrap()).await;

    let posted = collector.wait(|span| attribute(span, "foldry.request_id").as_deref() == Some("r-17"));
    assert_eq!((&posted["traceId"], &posted["parentSpanId"]), (&trace.into(), &parent.into()));
    assert_eq!((&posted["name"], &posted["kind"]), (&"POST /v1/jobs".into(), &2.into()));
    for (name, wanted) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/jobs"),
        ("http.response.status_code", "202"),
        ("foldry.job.id", id.as_str()),
    ] {
        assert_eq!(attribute(&posted, name).as_deref(), Some(wanted), "{posted:#}");
    }

    let attempt = collector.wait(|span| span["name"] == "job attempt");
    assert_eq!((&attempt["traceId"], &attempt["kind"]), (&id.replace('-', "").into(), &5.into()));
    for (name, wanted) in [
        ("foldry.job.id", id.as_str()),
        ("foldry.attempt", "1"),
        ("foldry.model", "mini"),
        ("foldry.residues", "10"),
        ("foldry.outcome", "succeeded"),
    ] {
        assert_eq!(attribute(&attempt, name).as_deref(), Some(wanted), "{attempt:#}");
    }

    let refused = collector.wait(|span| attribute(span, "error.type").as_deref() == Some("bad_sequence"));
    assert_eq!(attribute(&refused, "http.response.status_code").as_deref(), Some("422"));
    assert_ne!(refused["traceId"], trace);
    collector.wait(|span| attribute(span, "http.request.method").as_deref() == Some("_OTHER"));
    collector.wait(|span| attribute(span, "http.route").as_deref() == Some("/v1/jobs/{id}"));
    assert!(
        !collector.text.contains("CANARY") && !collector.text.contains(&SECRET[6..]),
        "{}",
        collector.text
    );
    assert!(server.get("/metrics").await.text().contains("\nfold_spans_dropped_total 0\n"));
    worker.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_slows_no_request() {
    let dead = Collector::start(Answer::Silence);
    let spans = Spans::start(&dead.url().parse().unwrap(), "test").unwrap();
    let server = server(spans.clone()).await;
    // More than the queue holds: later ones find it full.
    let began = Instant::now();
    for _ in 0..4000 {
        assert_eq!(server.get("/health/live").await.status, 200);
    }
    let took = began.elapsed();
    // The collector's patience alone would be 10 s a batch.
    assert!(took < Duration::from_secs(8), "4000 requests took {took:?}");
    assert_eq!(server.submit("t1").await.len(), 36);
    let dropped = server.get("/metrics").await.text();
    let dropped = dropped.lines().find_map(|line| line.strip_prefix("fold_spans_dropped_total ")).unwrap();
    assert!(dropped.parse::<u64>().unwrap() >= 4000 - 2048 - 512, "{dropped}");
    let began = Instant::now();
    spans.close(Duration::from_secs(2));
    assert!(began.elapsed() < Duration::from_millis(2500), "the end took {:?}", began.elapsed());
}

#[tokio::test]
async fn without_a_collector_there_is_no_number_of_lost_spans() {
    let server = server(Spans::default()).await;
    assert!(!server.get("/metrics").await.text().contains("fold_spans"));
}
