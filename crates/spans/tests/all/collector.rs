//! A collector in small: takes what is posted to /v1/traces. Tests of other crates use this file, too.

#![allow(dead_code)] // each of them a part of it

use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// What it does with a request that it has read.
#[derive(Clone, Copy)]
pub enum Answer {
    /// Answers with this status.
    Status(u16),
    /// Never answers.
    Silence,
}

pub struct Collector {
    pub address: SocketAddr,
    bodies: Receiver<String>,
    /// All that came, as it was sent.
    pub text: String,
    spans: Vec<Value>,
}

impl Collector {
    pub fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, bodies) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let send = send.clone();
                std::thread::spawn(move || talk(stream.unwrap(), answer, &send));
            }
        });
        Self { address, bodies, text: String::new(), spans: Vec::new() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until a span is there that is `wanted`.
    pub fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(span) = self.spans.iter().find(|span| wanted(span)) {
                return span.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            let Ok(body) = self.bodies.recv_timeout(left) else {
                panic!("the span did not come; came: {:#?}", self.spans);
            };
            self.text.push_str(&body);
            let body: Value = serde_json::from_str(&body).unwrap();
            let all = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
            self.spans.extend(all.iter().cloned());
        }
    }

    /// Spans that came so far.
    pub fn spans(&self) -> &[Value] {
        &self.spans
    }
}

/// An attribute of a span, as text.
pub fn attribute(span: &Value, name: &str) -> Option<String> {
    let found = span["attributes"].as_array()?.iter().find(|one| one["key"] == name)?;
    let value = found["value"].as_object()?.values().next()?;
    value.as_str().map(str::to_owned)
}

/// Requests of one connection.
fn talk(mut stream: TcpStream, answer: Answer, send: &Sender<String>) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if more(&mut stream, &mut read) == 0 {
                return;
            }
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap().to_lowercase();
        assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let length: usize = length.trim().parse().unwrap();
        while read.len() < end + length {
            assert_ne!(more(&mut stream, &mut read), 0, "the body was cut off");
        }
        // The test may have ended.
        let _ = send.send(String::from_utf8(read[end..end + length].to_vec()).unwrap());
        read.drain(..end + length);
        match answer {
            Answer::Status(status) => {
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
                );
                if stream.write_all(head.as_bytes()).is_err() {
                    return;
                }
            }
            Answer::Silence => std::thread::sleep(Duration::from_secs(600)),
        }
    }
}

fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> usize {
    let mut some = [0; 4096];
    let count = stream.read(&mut some).unwrap_or(0);
    read.extend_from_slice(&some[..count]);
    count
}
