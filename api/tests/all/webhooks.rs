//! Webhook calls: signed, repeated, not redirected, and only to public addresses unless allowed.

use crate::server::{SEQUENCE, Server};
use jobs::{Options, Policy};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Answers each call with the next of `answers`; passes calls on.
async fn receiver(answers: Vec<&'static str>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (calls, received) = mpsc::channel(16);
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut call, mut part) = (String::new(), [0; 4096]);
            while !call.contains("\r\n\r\n{") || !call.ends_with('}') {
                let count = stream.read(&mut part).await.unwrap();
                assert!(count > 0, "the call broke off: {call}");
                call.push_str(&String::from_utf8_lossy(&part[..count]));
            }
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            calls.send(call).await.unwrap();
        }
    });
    (url, received)
}

async fn started(private: bool) -> Server {
    let policy = Policy { webhook_backoff: Duration::from_millis(50), ..Policy::default() };
    let allow = |app: &mut api::App, _: &std::path::Path| app.limits.private_webhooks = true;
    let mut server = Server::with(allow, Options { policy, ..Options::default() }).await;
    server.work();
    let limits = api::Limits { private_webhooks: private, ..api::Limits::default() };
    tokio::spawn(api::send_webhooks(Arc::clone(&server.store), limits));
    server
}

fn header<'a>(call: &'a str, name: &str) -> &'a str {
    let line =
        call.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
    line.map_or("", |(_, value)| value)
}

#[tokio::test]
async fn a_call_is_signed_and_repeated_until_it_is_taken() {
    let server = started(true).await;
    let (url, mut calls) =
        receiver(vec!["500 No", "302 Found\r\nLocation: http://127.0.0.1:1/", "204 Done"]).await;
    let body = json!({"name": "fail", "sequence": SEQUENCE, "webhook": {"url": url, "secret": SECRET}});
    let id = server.post("/v1/jobs", body).await.json()["id"].clone();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let call = timeout(Duration::from_secs(20), calls.recv()).await.expect("a call").unwrap();
        let content = &call[call.find("\r\n\r\n").unwrap() + 4..];
        let value: Value = serde_json::from_str(content).unwrap();
        assert_eq!((&value["type"], &value["data"]["id"]), (&json!("job.failed"), &id));
        assert_eq!(value["data"]["reason"]["code"], "bad_input");
        assert!(!content.contains(SEQUENCE));
        let signed =
            format!("{}.{}.{content}", header(&call, "webhook-id"), header(&call, "webhook-timestamp"));
        assert_eq!(header(&call, "webhook-signature"), format!("v1,{}", hmac(&signed)));
        ids.push(header(&call, "webhook-id").to_owned());
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert!(timeout(Duration::from_secs(2), calls.recv()).await.ok().flatten().is_none());
    assert_eq!(server.store.deliveries(10).await.unwrap(), []);
}

/// As the receiver computes it.
fn hmac(text: &str) -> String {
    use base64::Engine;
    use hmac::{KeyInit, Mac};
    let base64 = base64::engine::general_purpose::STANDARD;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&base64.decode(&SECRET[6..]).unwrap()).unwrap();
    mac.update(text.as_bytes());
    base64.encode(mac.finalize().into_bytes())
}

#[tokio::test]
async fn private_addresses_are_not_called() {
    let server = started(false).await;
    let (url, mut calls) = receiver(vec!["204 Done"]).await;
    let body = json!({"sequence": SEQUENCE, "webhook": {"url": url, "secret": SECRET}});
    let id = server.post("/v1/jobs", body).await.json()["id"].as_str().unwrap().to_owned();
    server.reach(&id, "succeeded").await;
    assert!(timeout(Duration::from_secs(3), calls.recv()).await.is_err());
}
