//! API keys: tenants apart, rates, quotas.

use crate::server::{Answer, SEQUENCE, Server};
use api::keys::{Key, KeyQuotas, Keys, add, revoke};
use axum::body::Body;
use axum::http::Request;
use jobs::Options;
use serde_json::{Value, json};
use std::time::Duration;

fn new(tenant: &str) -> Key {
    Key {
        id: String::new(),
        sha256: String::new(),
        tenant: tenant.into(),
        admin: false,
        quotas: KeyQuotas::default(),
        requests_per_second: None,
        created: String::new(),
        revoked: None,
    }
}

async fn ask(server: &Server, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {token}"));
    server.ask(request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn tenants_see_their_own_jobs_only() {
    let mut tokens = Vec::new();
    let make = |app: &mut api::App, folder: &std::path::Path| {
        let path = folder.join("keys.json");
        let admin = Key { admin: true, ..new("b") };
        let few = KeyQuotas { queued: Some(1), ..KeyQuotas::default() };
        tokens.push(add(&path, Key { quotas: few, ..new("a") }).unwrap());
        tokens.push(add(&path, admin).unwrap());
        let day = KeyQuotas { residues_per_day: Some(2 * SEQUENCE.len() as u64), ..KeyQuotas::default() };
        tokens.push(add(&path, Key { quotas: day, ..new("d") }).unwrap());
        tokens.push(add(&path, Key { requests_per_second: Some(0.5), ..new("c") }).unwrap());
        app.keys = Some(Keys::open(&path).unwrap());
    };
    let server = Server::with(make, Options::default()).await;
    let [(key, a), (_, b), (_, d), (_, c)] = &tokens[..] else { panic!("three keys") };

    let body = json!({"sequence": SEQUENCE});
    let job = ask(&server, a, "POST", "/v1/jobs", body.clone()).await.json();
    let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(ask(&server, a, "GET", &path, json!(null)).await.status, 200);
    for (method, end) in [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/events"),
        ("GET", "/result"),
        ("GET", "/alignment"),
        ("GET", "/input"),
        ("GET", "/files/x"),
    ] {
        let answer = ask(&server, b, method, &format!("{path}{end}"), json!(null)).await;
        assert_eq!(answer.problem().1, "not_found", "{method} {end}");
    }
    assert_eq!(ask(&server, b, "GET", "/v1/jobs", json!(null)).await.json()["jobs"], json!([]));
    assert_eq!(ask(&server, a, "GET", &path, json!(null)).await.json()["state"], "queued");
    // The quota of one is used up, the other's is not touched.
    assert_eq!(ask(&server, a, "POST", "/v1/jobs", body.clone()).await.problem().1, "quota_exceeded");
    assert_eq!(ask(&server, b, "POST", "/v1/jobs", body).await.status, 202);

    // Residues count as often as there are seeds.
    let seeds = json!({"sequence": SEQUENCE, "options": {"num_seeds": 3}});
    assert_eq!(ask(&server, d, "POST", "/v1/jobs", seeds).await.problem().1, "quota_exceeded");
    assert_eq!(ask(&server, d, "POST", "/v1/jobs", json!({"sequence": SEQUENCE})).await.status, 202);

    assert_eq!(server.get("/v1/jobs").await.problem().1, "unauthorized");
    assert_eq!(server.get("/v1/jobs").await.header("www-authenticate"), "Bearer");
    assert_eq!(
        server.get_with("/v1/jobs", &[("authorization", "Basic eA==")]).await.problem().1,
        "unauthorized"
    );
    assert_eq!(server.get("/health/ready").await.status, 200);
    assert_eq!(ask(&server, a, "GET", "/metrics", json!(null)).await.problem().1, "forbidden");
    assert_eq!(ask(&server, b, "GET", "/metrics", json!(null)).await.status, 200);

    assert_eq!(ask(&server, c, "GET", "/v1/jobs", json!(null)).await.status, 200);
    let limited = ask(&server, c, "GET", "/v1/jobs", json!(null)).await;
    assert_eq!((limited.problem().1.as_str(), limited.header("retry-after")), ("rate_limited", "2"));

    revoke(&server.folder.path().join("keys.json"), &key.id).unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(ask(&server, a, "GET", &path, json!(null)).await.problem().1, "unauthorized");
}
