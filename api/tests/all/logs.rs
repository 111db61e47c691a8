//! Logs hold no secrets and no sequences.

use crate::server::Server;
use api::keys::{Key, KeyQuotas, Keys, add};
use axum::body::Body;
use axum::http::Request;
use jobs::Options;
use serde_json::json;
use std::io::Write;
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_and_no_sequence_is_logged() {
    let captured = Captured::default();
    let subscriber =
        tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE).with_writer(captured.clone());
    // For all threads: events of the other tests come here, too, and must hold no canary either.
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();

    let mut token = String::new();
    let make = |app: &mut api::App, folder: &std::path::Path| {
        let path = folder.join("keys.json");
        let key = Key {
            id: String::new(),
            sha256: String::new(),
            tenant: "a".into(),
            admin: false,
            quotas: KeyQuotas::default(),
            requests_per_second: None,
            created: String::new(),
            revoked: None,
        };
        token = add(&path, key).unwrap().1;
        app.keys = Some(Keys::open(&path).unwrap());
    };
    let server = Server::with(make, Options::default()).await;
    let (sequence, secret) = ("WWCANARYWW", "whsec_Q0FOQVJZQ0FOQVJZQ0FOQVJZQ0FOQVJZ");
    let send = |method: &str, path: &str, body: String| {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        server.ask(request.header("authorization", format!("Bearer {token}")).body(Body::from(body)).unwrap())
    };
    let good = json!({"sequence": sequence, "alignment": format!(">q\n{sequence}\n"),
        "webhook": {"url": "https://example.com/hook", "secret": secret}});
    assert_eq!(send("POST", "/v1/jobs", good.to_string()).await.status, 202);
    for body in [
        json!({"sequence": format!("{sequence}1")}).to_string(),
        json!({"sequence": sequence, "webhook": {"url": "x", "secret": secret}}).to_string(),
        json!({sequence: 1}).to_string(),
        format!("{{\"sequence\": \"{sequence}"),
    ] {
        assert!(send("POST", "/v1/jobs", body).await.status.is_client_error());
    }
    send("GET", &format!("/v1/jobs?{sequence}={secret}"), String::new()).await;
    send("GET", &format!("/v1/{sequence}"), String::new()).await;
    send("POST", &format!("/v1/inputs?name={sequence}"), format!(">{sequence}\n{sequence}\n")).await;

    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(log.matches("http.done").count() >= 8, "{log}");
    assert!(log.contains("bad_sequence") && log.contains("/v1/jobs"), "{log}");
    let bare = token.split_once('.').unwrap().1;
    for canary in [sequence, secret, &secret[6..], &token, bare] {
        assert!(!log.contains(canary), "{canary} is in the log:\n{log}");
    }
}
