//! A server that gives the answers it was told, one a connection, and keeps what it was asked.

use super::{Client, Server};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// Bytes of the body that are sent before the connection is cut.
    sent: usize,
}

impl Answer {
    fn new(status: u16, kind: &str, body: &str) -> Self {
        let headers = format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len());
        Self { status, headers, body: body.as_bytes().to_vec(), sent: body.len() }
    }

    pub fn json(body: &str) -> Self {
        Self::new(200, "application/json", body)
    }

    pub fn problem(status: u16, body: &str) -> Self {
        Self::new(status, "application/problem+json", body)
    }

    /// Without a length: the end of the connection ends it, as a cut does.
    pub fn events(body: &str) -> Self {
        Self { headers: "content-type: text/event-stream\r\n".into(), ..Self::new(200, "", body) }
    }

    pub fn with(mut self, header: &str) -> Self {
        self.headers.push_str(&format!("{header}\r\n"));
        self
    }

    pub fn cut(self, sent: usize) -> Self {
        Self { sent, ..self }
    }
}

pub struct Fake {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Answers in turn, then listens no more.
    pub fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = requests.clone();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                kept.lock().unwrap().push(request(&mut stream));
                let head =
                    format!("HTTP/1.1 {} x\r\n{}connection: close\r\n\r\n", answer.status, answer.headers);
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&answer.body[..answer.sent]).unwrap();
            }
        });
        Self { address, requests }
    }

    pub fn client(&self) -> Client {
        let server = Server { server: format!("{}/", self.address), key: Some("foldry_k.s".into()) };
        let mut client = Client::new(&server).unwrap();
        client.patience = Duration::from_millis(1);
        client
    }

    /// Heads and bodies, in order.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn request(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        text.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&text).to_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let head = String::from_utf8_lossy(&text).into_owned();
    format!("{head}{}", String::from_utf8_lossy(&body))
}
