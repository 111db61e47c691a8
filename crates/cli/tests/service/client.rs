//! Plain requests.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

#[derive(Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    key: Option<String>,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} {}", self.status, String::from_utf8_lossy(&self.body)))
    }
}

/// An event of a stream.
#[derive(Debug)]
pub struct Event {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

impl Client {
    pub fn new(address: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(60)));
        Self { agent: config.build().into(), base: format!("http://{address}"), key: None }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(format!("Bearer {key}")), ..self.clone() }
    }

    /// # Errors  the connection's, in words.
    pub fn try_get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, String> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in self.own().chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        answer(request.call())
    }

    /// # Errors  the connection's, in words.
    pub fn try_post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in self.own().chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        answer(request.send(body))
    }

    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_get(path, headers).unwrap()
    }

    /// Submits a job, with a key or without.
    /// # Errors  the connection's, in words.
    pub fn try_submit(&self, body: &Value, key: Option<&str>) -> Result<Answer, String> {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        self.try_post("/v1/jobs", &headers, body.to_string().as_bytes())
    }

    /// Submits a job; its id.
    pub fn submit(&self, body: &Value) -> String {
        let answer = self.try_submit(body, None).unwrap();
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// # Errors  the connection's, in words.
    pub fn try_cancel(&self, id: &str) -> Result<Answer, String> {
        let mut request = self.agent.delete(format!("{}/v1/jobs/{id}", self.base));
        for (name, value) in self.own() {
            request = request.header(name, value);
        }
        answer(request.call())
    }

    pub fn cancel(&self, id: &str) -> Answer {
        self.try_cancel(id).unwrap()
    }

    /// The job once it has ended.
    pub fn ended(&self, id: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(120);
        loop {
            let job = self.get(&format!("/v1/jobs/{id}?wait=10"), &[]).json();
            if ["succeeded", "failed", "cancelled"].iter().any(|state| job["state"] == *state) {
                return job;
            }
            assert!(Instant::now() < end, "{job}");
        }
    }

    /// The job once it is in a state.
    pub fn until(&self, id: &str, state: &str) -> Value {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let job = self.get(&format!("/v1/jobs/{id}"), &[]).json();
            if job["state"] == state {
                return job;
            }
            assert!(Instant::now() < end, "{job}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Events after one, until `wanted` says that it is enough or the stream ends.
    pub fn events(
        &self,
        id: &str,
        after: Option<&str>,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Vec<Event> {
        let mut request = self.agent.get(format!("{}/v1/jobs/{id}/events", self.base));
        for (name, value) in self.own().chain(after.map(|id| ("Last-Event-ID", id))) {
            request = request.header(name, value);
        }
        let response = request.call().unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let (mut events, mut event) =
            (Vec::new(), Event { id: String::new(), kind: String::new(), data: Value::Null });
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.unwrap();
            if let Some((name, value)) = line.split_once(": ").filter(|(name, _)| !name.is_empty()) {
                match name {
                    "id" => event.id = value.into(),
                    "event" => event.kind = value.into(),
                    "data" => event.data = serde_json::from_str(value).unwrap(),
                    _ => {}
                }
            } else if line.is_empty() && !event.kind.is_empty() {
                let id = event.id.clone();
                let enough = wanted(&event);
                events.push(std::mem::replace(
                    &mut event,
                    Event { id, kind: String::new(), data: Value::Null },
                ));
                if enough {
                    break;
                }
            }
        }
        events
    }

    fn own(&self) -> impl Iterator<Item = (&str, &str)> {
        self.key.iter().map(|key| ("Authorization", key.as_str()))
    }
}

fn answer(done: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, String> {
    let mut response = done.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let body =
        response.body_mut().with_config().limit(1 << 28).read_to_vec().map_err(|error| error.to_string())?;
    Ok(Answer { status, body })
}
