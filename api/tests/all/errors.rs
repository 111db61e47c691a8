//! Every error code once.

use crate::server::{SEQUENCE, Server};
use api::Code;
use axum::body::Body;
use axum::http::Request;
use jobs::{Options, Policy, Quotas};
use serde_json::{Value, json};

/// Codes that other files of these tests meet.
const ELSEWHERE: &[&str] = &[
    "bad_form",
    "bad_body",
    "body_timeout",
    "no_result",
    "not_finished",
    "expired",
    "not_acceptable",
    "range_not_satisfiable",
    "unsupported_encoding",
    "key_reused",
    "unauthorized",
    "forbidden",
    "rate_limited",
    "server_busy",
    "internal",
    "bad_input",
    "waited_too_long",
    "sequence_too_long",
];
/// Met by whole servers (`crates/cli/tests/service`, `disk.rs` and `memory.rs`): they need a disk without a free byte, a locked
/// database, and a child that dies.
const NOT_HERE: &[&str] = &["disk_full", "store_busy", "job_failed"];

#[tokio::test]
async fn every_code_is_met() {
    let limits = |app: &mut api::App, _: &std::path::Path| {
        app.limits.body = 4000;
        app.limits.residues = 50;
    };
    let policy = Policy { quotas: Quotas { queued: 1, ..Policy::default().quotas }, ..Policy::default() };
    let server = Server::with(limits, Options { policy, ..Options::default() }).await;
    let mut met = Vec::new();
    let good = || json!({"sequence": SEQUENCE});
    let with = |key: &str, value: Value| {
        let mut job = good();
        job[key] = value;
        job
    };
    let hook = |url: &str, secret: &str| with("webhook", json!({"url": url, "secret": secret}));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let bodies = [
        (json!({}), 422, "bad_field", ""),
        (json!({"sequence": null}), 422, "bad_field", ""),
        (json!({"sequence": 3}), 422, "bad_field", "/sequence"),
        (with("sequenze", json!("M")), 422, "bad_field", "/sequenze"),
        (with("priority", json!(101)), 422, "bad_field", "/priority"),
        (with("max_attempts", json!(0)), 422, "bad_field", "/max_attempts"),
        (with("options", json!({"seed": -1})), 422, "bad_field", "/options/seed"),
        (with("options", json!({"seed": 9007199254740992u64})), 422, "bad_field", "/options/seed"),
        (with("options", json!({"num_seeds": 0})), 422, "bad_field", "/options/num_seeds"),
        (with("options", json!({"max_msa": [0, 5]})), 422, "bad_field", "/options/max_msa/0"),
        (with("options", json!({"recycle_tolerance": -0.5})), 422, "bad_field", "/options/recycle_tolerance"),
        (with("name", json!("n".repeat(201))), 422, "bad_field", "/name"),
        (with("sequence", json!("MKV1")), 422, "bad_sequence", "/sequence"),
        (with("sequence", json!("M".repeat(51))), 422, "too_long", "/sequence"),
        (with("alignment", json!(">q\nMK\n>r\nM\n")), 422, "bad_alignment", "/alignment"),
        (with("alignment", json!(">q\nMK\n")), 422, "bad_alignment", "/alignment"),
        (with("templates", json!([{"structure": "nothing"}])), 422, "bad_template", "/templates/0/structure"),
        (with("options", json!({"model": "max"})), 422, "unknown_model", "/options/model"),
        (hook("http://example.com", secret), 422, "bad_webhook", "/webhook/url"),
        (hook("https://u:p@example.com", secret), 422, "bad_webhook", "/webhook/url"),
        (hook("https://example.com", "whsec_AAAA"), 422, "bad_webhook", "/webhook/secret"),
        (with("name", json!("n".repeat(4000))), 413, "body_too_large", ""),
    ];
    for (body, status, code, pointer) in bodies {
        let answer = server.post("/v1/jobs", body.clone()).await;
        assert_eq!(answer.problem(), (status, code.into(), pointer.into()), "{body}");
        met.push(code.to_owned());
    }
    let residue = json!({"structure": "ATOM      1  CA  ALA A   1       0.000   0.000   0.000  1.00  0.00           C  \n", "chain": "B"});
    let answer = server.post("/v1/jobs", with("templates", json!([residue]))).await;
    assert_eq!(answer.problem().2, "/templates/0/chain");

    let send = |request: axum::http::request::Builder, body: &str| {
        server.ask(request.body(Body::from(body.to_owned())).unwrap())
    };
    let json_post = |path: &str| Request::post(path).header("content-type", "application/json");
    let unknown = "/v1/jobs/01890000-0000-7000-8000-000000000000";
    for (answer, status, code) in [
        (send(json_post("/v1/jobs"), "{").await, 400, "bad_json"),
        (send(Request::post("/v1/jobs"), "{}").await, 415, "unsupported_media_type"),
        (send(Request::put("/v1/jobs"), "").await, 405, "method_not_allowed"),
        (send(json_post("/v1/jobs").header("idempotency-key", ""), "{}").await, 400, "bad_header"),
        (server.get_with(unknown, &[]).await, 404, "not_found"),
        (server.get("/v1/jobs/x").await, 404, "not_found"),
        (server.get("/v2").await, 404, "not_found"),
        (server.get("/v1/jobs/%ff").await, 404, "not_found"),
        (server.get("/v1/jobs?limit=0").await, 400, "bad_parameter"),
        (server.get("/v1/jobs?limits=3").await, 400, "bad_parameter"),
        (server.get("/v1/jobs?cursor=x").await, 400, "bad_parameter"),
        (server.get("/v1/jobs?state=Queued").await, 400, "bad_parameter"),
        (server.get(&format!("{unknown}?wait=61")).await, 400, "bad_parameter"),
    ] {
        assert_eq!((answer.problem().0, answer.problem().1.as_str()), (status, code), "{}", answer.text());
        met.push(code.to_owned());
    }
    assert!(send(Request::put("/v1/jobs"), "").await.header("allow").contains("POST"));

    server.submit("a").await;
    let answer = server.post("/v1/jobs", good()).await;
    assert_eq!((answer.problem().1.as_str(), answer.header("retry-after")), ("quota_exceeded", "30"));
    server.engine.send_replace(None);
    for path in ["/v1/engine", "/health/ready"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.problem().1.as_str(), answer.header("retry-after")),
            ("engine_starting", "5"),
            "{path}"
        );
    }
    met.extend(["quota_exceeded".to_owned(), "engine_starting".to_owned()]);
    met.extend(low_disk().await);
    met.extend(closed().await);

    let known: Vec<_> = met
        .iter()
        .map(String::as_str)
        .chain(ELSEWHERE.iter().copied())
        .chain(NOT_HERE.iter().copied())
        .collect();
    for code in Code::ALL {
        assert!(known.contains(&code.as_str()), "{code:?} is met nowhere");
    }
}

async fn low_disk() -> Option<String> {
    let server = Server::with(|app, _| app.limits.disk_reserve = u64::MAX, Options::default()).await;
    let answer = server.post("/v1/jobs", json!({"sequence": SEQUENCE})).await;
    assert_eq!((answer.problem().0, answer.problem().1.as_str()), (507, "disk_low"));
    assert_eq!(server.get("/health/ready").await.problem().0, 507);
    Some(answer.problem().1)
}

async fn closed() -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let store = jobs::SqliteStore::open(&folder.path().join("jobs.db"), Options::default()).await.unwrap();
    store.close().await;
    let server = Server::with(|app, _| app.store = std::sync::Arc::new(store), Options::default()).await;
    let answer = server.post("/v1/jobs", json!({"sequence": SEQUENCE})).await;
    assert_eq!((answer.problem().0, answer.problem().1.as_str()), (503, "closing"));
    assert_eq!(server.get("/health/live").await.status, 200);
    assert_eq!(server.get("/health/ready").await.problem().1, "closing");
    Some(answer.problem().1)
}
