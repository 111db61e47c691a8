//! Requests: tried again where that is safe, with the server's own patience (`Retry-After`) before ours.

use super::Server;
use super::problem::Problem;
use crate::failure::bad_input;
use serde_json::Value;
use std::io::Read;
use std::time::Duration;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body};

/// Why a request got no good answer.
#[derive(Debug)]
pub enum Failure {
    /// The server refused.
    Problem(Problem),
    /// No answer, or one that broke off.
    Cut(String),
}

impl Failure {
    /// As an error of a command.
    pub fn error(&self) -> anyhow::Error {
        match self {
            Self::Problem(problem) => problem.error(),
            Self::Cut(why) => anyhow::anyhow!("{why}"),
        }
    }
}

/// A connection to one server.
pub struct Client {
    agent: Agent,
    base: String,
    key: Option<String>,
    /// The first wait before another try; each is twice the one before.
    pub patience: Duration,
}

/// A header's name and value.
pub type Header<'a> = (&'a str, &'a str);

/// Tries of one request.
const TRIES: u32 = 6;
/// The longest wait between them.
const LONGEST: Duration = Duration::from_secs(30);
/// A server that says nothing for so long is gone; followers hear from it every 15 s.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of a JSON answer.
const JSON: u64 = 64 << 20;

impl Client {
    /// # Errors  bad input: an address that is none, a key that no header can carry.
    pub fn new(server: &Server) -> anyhow::Result<Self> {
        let base = server.server.trim().trim_end_matches('/').to_string();
        let host = ["http://", "https://"].iter().find_map(|scheme| base.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) || base.contains(['?', '#', '@'])
        {
            let expected = "expected an address as in http://127.0.0.1:8080";
            return Err(bad_input(format!("--server: {expected}, found {:?}", server.server)));
        }
        let key = server.key.as_deref().map(str::trim).filter(|key| !key.is_empty()).map(String::from);
        if key.as_ref().is_some_and(|key| !key.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(bad_input("--key: expected letters, digits and signs without blanks, found others"));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0) // a key goes to the server it was given for
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("foldry/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { agent, base, key, patience: Duration::from_millis(500) })
    }

    /// The server's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// One try.
    ///
    /// # Errors  [`Failure`]; what the server says of a refusal is read.
    pub fn once(
        &self,
        method: &Method,
        path: &str,
        headers: &[Header<'_>],
        body: Option<&[u8]>,
    ) -> Result<Response<Body>, Failure> {
        self.try_once(method, path, headers, body).map_err(|(failure, _)| failure)
    }

    /// With how long the server asks to wait.
    fn try_once(
        &self,
        method: &Method,
        path: &str,
        headers: &[Header<'_>],
        body: Option<&[u8]>,
    ) -> Result<Response<Body>, (Failure, Option<Duration>)> {
        let cut = |why: String| (Failure::Cut(format!("{}: {why}", self.base)), None);
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let answer = match body {
            Some(body) => request.body(body).map_err(ureq::Error::from).and_then(|r| self.agent.run(r)),
            None => request.body(()).map_err(ureq::Error::from).and_then(|r| self.agent.run(r)),
        };
        let mut answer = answer.map_err(|error| cut(error.to_string()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let wait = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let mut text = Vec::new();
        // What a proxy says may be anything, and break off: the status tells enough.
        let _ = answer.body_mut().as_reader().take(1 << 16).read_to_end(&mut text);
        Err((Failure::Problem(Problem::new(status, &text)), wait.map(Duration::from_secs)))
    }

    /// Tries until there is an answer that will stay. All requests of this client may be repeated: those that make
    /// jobs carry an idempotency key.
    ///
    /// # Errors  [`Failure`], after the last try.
    pub fn ask(
        &self,
        method: &Method,
        path: &str,
        headers: &[Header<'_>],
        body: Option<&[u8]>,
    ) -> Result<Response<Body>, Failure> {
        let mut tries = 0;
        loop {
            let (failure, wait) = match self.try_once(method, path, headers, body) {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            tries += 1;
            let passing = match &failure {
                Failure::Problem(problem) => problem.is_passing(),
                Failure::Cut(_) => true,
            };
            if !passing || tries == TRIES {
                return Err(failure);
            }
            let wait = wait.unwrap_or(self.patience * 2u32.pow(tries - 1)).min(LONGEST);
            eprintln!("NOTE  {}; trying again in {:.0} s", failure.error(), wait.as_secs_f64().ceil());
            std::thread::sleep(wait);
        }
    }

    /// As [`Client::ask`], with the answer's JSON.
    ///
    /// # Errors  [`Failure`]; an answer that is no JSON is one that broke off.
    pub fn json(
        &self,
        method: &Method,
        path: &str,
        headers: &[Header<'_>],
        body: Option<&[u8]>,
    ) -> Result<Value, Failure> {
        self.json_of(self.ask(method, path, headers, body)?)
    }

    /// The JSON of an answer.
    ///
    /// # Errors  [`Failure::Cut`]: it is none, or broke off.
    pub fn json_of(&self, mut answer: Response<Body>) -> Result<Value, Failure> {
        let text = answer.body_mut().with_config().limit(JSON).read_to_vec();
        let text = text.map_err(|error| Failure::Cut(format!("{}: {error}", self.base)))?;
        let found = "expected JSON of foldry serve, found something else";
        serde_json::from_slice(&text).map_err(|_| Failure::Cut(format!("{}: {found}", self.base)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Fake};
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_busy_server_is_asked_again_when_it_says() {
        let busy = r#"{"code": "rate_limited", "detail": "too many requests"}"#;
        let fake = Fake::new(vec![
            Answer::problem(429, busy).with("retry-after: 1"),
            Answer::problem(503, "<html>"),
            Answer::json(r#"{"id": "0a"}"#),
        ]);
        let begun = Instant::now();
        let headers = [("idempotency-key", "k")];
        let job = fake.client().json(&Method::POST, "/v1/jobs", &headers, Some(b"{}")).unwrap();
        assert_eq!(job["id"], "0a");
        assert!(begun.elapsed() >= Duration::from_secs(1));
        let asked = fake.requests();
        assert_eq!((asked.len(), &asked[0], &asked[1]), (3, &asked[2], &asked[2]));
        let request = asked[0].to_lowercase();
        assert!(
            request.starts_with("post /v1/jobs http/1.1\r\n") && request.ends_with("\r\n\r\n{}"),
            "{request}"
        );
        assert!(
            request.contains("idempotency-key: k\r\n")
                && request.contains("authorization: bearer foldry_k.s\r\n")
        );
    }

    #[test]
    fn refusals_say_why_and_whose_fault_it_is() {
        let refusal = |status, body: &str| {
            let fake = Fake::new(vec![Answer::problem(status, body)]);
            let error = fake.client().json(&Method::GET, "/x", &[], None).unwrap_err().error();
            (error.to_string(), crate::failure::code(&error))
        };
        let body = r#"{"code": "bad_sequence", "detail": "sequence:17: found `1`", "pointer": "/sequence", "request_id": "r1"}"#;
        assert_eq!(refusal(422, body), ("/sequence: sequence:17: found `1` (bad_sequence)".into(), 2));
        let body = r#"{"code": "internal", "title": "Something went wrong", "request_id": "r\u001b1"}"#;
        assert_eq!(refusal(500, body), ("Something went wrong (internal), request r 1".into(), 1));
        assert_eq!(
            refusal(409, r#"{"code": "not_finished", "detail": "running"}"#),
            ("running (not_finished)".into(), 1)
        );
        assert_eq!(refusal(301, "moved"), ("expected an answer of foldry serve, found status 301".into(), 1));
        let fake = Fake::new(vec![Answer::json("<html>")]);
        let error = fake.client().json(&Method::GET, "/x", &[], None).unwrap_err().error().to_string();
        assert!(error.ends_with("expected JSON of foldry serve, found something else"), "{error}");
    }

    #[test]
    fn nobody_there_is_a_failure_in_the_end() {
        let error = Fake::new(vec![]).client().json(&Method::GET, "/x", &[], None).unwrap_err().error();
        assert_eq!(crate::failure::code(&error), 1);
        for server in ["", "127.0.0.1:8080", "http://", "ftp://x", "http://x/?a", "http://u:p@x"] {
            let server = Server { server: server.into(), key: None };
            assert!(Client::new(&server).is_err(), "{server:?}");
        }
        let server = Server { server: "http://x".into(), key: Some("a\nb: c".into()) };
        assert!(Client::new(&server).err().unwrap().to_string().starts_with("--key: "));
    }
}
