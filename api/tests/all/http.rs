//! What surrounds all routes, and connections that misbehave.

use crate::server::{SEQUENCE, Server};
use axum::body::Body;
use axum::http::Request;
use jobs::Options;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn requests_have_ids() {
    let server = Server::start().await;
    let given = server.get_with("/v1/jobs/x", &[("x-request-id", "abc-1")]).await;
    assert_eq!((given.header("x-request-id"), &given.json()["request_id"]), ("abc-1", &json!("abc-1")));
    let made = server.get("/health/live").await;
    assert_eq!(made.header("x-request-id").len(), 36);
    let bad = server.get_with("/health/live", &[("x-request-id", "a b")]).await;
    assert_eq!(bad.header("x-request-id").len(), 36);
    assert_eq!(made.header("x-content-type-options"), "nosniff");
    assert!(made.header("content-security-policy").contains("default-src 'none'"));
}

#[tokio::test]
async fn other_origins_are_let_in_by_name_only() {
    let preflight = || {
        let request = Request::options("/v1/jobs").header("origin", "https://lab.example");
        request.header("access-control-request-method", "POST").body(Body::empty()).unwrap()
    };
    let closed = Server::with(|_, _| {}, Options::default()).await;
    assert_eq!(closed.ask(preflight()).await.header("access-control-allow-origin"), "");
    let named =
        |app: &mut api::App, _: &std::path::Path| app.limits.origins = vec!["https://lab.example".into()];
    let open = Server::with(named, Options::default()).await;
    assert_eq!(open.ask(preflight()).await.header("access-control-allow-origin"), "https://lab.example");
    let other = open.get_with("/v1/jobs", &[("origin", "https://evil.example")]).await;
    assert_eq!(other.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn health_and_metrics_tell_numbers() {
    let server = Server::start().await;
    assert_eq!(server.get("/health/live").await.json(), json!({"status": "live"}));
    assert_eq!(server.get("/health/ready").await.json(), json!({"status": "ready"}));
    server.done("t1").await;
    let text = server.get("/metrics").await.text();
    for line in [
        "fold_jobs{state=\"succeeded\"} 1",
        "fold_jobs{state=\"queued\"} 0",
        "fold_queue_oldest_seconds 0",
        "fold_submit_seconds_count 1",
        "fold_run_seconds_bucket{model=\"mini\",len_bucket=\"128\",le=\"1\"} 1",
        "fold_run_seconds_sum{model=\"mini\",len_bucket=\"128\"} 0.25",
        "fold_lease_lost_total 0",
        "fold_fence_rejected_total 0",
        "# TYPE fold_store_commit_seconds histogram",
        "# TYPE fold_disk_free_bytes gauge",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn the_engine_tells_what_it_takes() {
    let server = Server::start().await;
    let engine = server.get("/v1/engine").await.json();
    assert_eq!((&engine["models"][1]["name"], &engine["device_class"]), (&json!("maxi"), &json!("cpu")));
    assert_eq!(engine["limits"]["residues"], 5000);
}

/// Writes a request's beginning and returns what comes back, and when.
async fn raw(address: std::net::SocketAddr, text: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("an end");
    // A reset after the answer is an end, too.
    let _ = read;
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[tokio::test]
async fn slow_headers_and_bodies_are_given_up() {
    let hasty = |app: &mut api::App, _: &std::path::Path| {
        app.limits.header = Duration::from_millis(300);
        app.limits.body_idle = Duration::from_millis(300);
    };
    let server = Server::with(hasty, Options::default()).await;
    let (address, _stop, _) = server.listen().await;
    let (answer, after) = raw(address, "GET /health/live HTTP/1.1\r\nHos").await;
    assert!(after < Duration::from_secs(5) && !answer.contains("200 OK"), "{answer}");
    let head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let (answer, after) = raw(address, &format!("{head}Content-Length: 100\r\n\r\n{{\"sequence")).await;
    assert!(
        answer.contains("408") && answer.contains("body_timeout") && after < Duration::from_secs(5),
        "{answer}"
    );
    let (answer, _) = raw(address, &format!("{head}Content-Length: 99999999999\r\n\r\n{{")).await;
    assert!(answer.contains("413") && answer.contains("body_too_large"), "{answer}");
}

#[tokio::test]
async fn slow_bodies_take_bounded_memory() {
    let small = |app: &mut api::App, _: &std::path::Path| app.limits.bodies_in_memory = 1 << 20;
    let server = Server::with(small, Options::default()).await;
    let (address, _stop, _) = server.listen().await;
    let head = "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000000\r\n\r\n";
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server may have answered and closed.
        let _ = stream.write_all(&vec![b' '; 400_000]).await;
        slow.push(stream);
    }
    // One of them was one too many.
    let mut answered = None;
    for _ in 0..200 {
        let mut answer = vec![0; 2000];
        answered = slow
            .iter()
            .find_map(|stream| stream.try_read(&mut answer).ok())
            .map(|count| answer[..count].to_vec());
        if answered.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = String::from_utf8(answered.expect("an answer")).unwrap();
    assert!(answer.contains("503") && answer.contains("server_busy"), "{answer}");
    drop(slow);
    for _ in 0..100 {
        if server.post("/v1/jobs", json!({"sequence": SEQUENCE})).await.status == 202 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("memory of clients that left is not given back");
}

#[tokio::test]
async fn a_request_that_is_being_answered_is_answered_when_the_server_stops() {
    let server = Server::with(|_, _| {}, Options::default()).await;
    let (address, stop, serving) = server.listen().await;
    let id = server.submit("t1").await;
    let asked = tokio::spawn(async move {
        raw(address, &format!("GET /v1/jobs/{id}?wait=2 HTTP/1.1\r\nHost: x\r\n\r\n")).await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.send_replace(true);
    let (answer, after) = asked.await.unwrap();
    assert!(answer.contains("200 OK") && after >= Duration::from_secs(2), "{answer}");
    timeout(Duration::from_secs(5), serving).await.expect("nothing is left to wait for").unwrap();
}
