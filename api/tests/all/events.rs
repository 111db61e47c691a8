//! Event streams over real connections.

use crate::server::Server;
use jobs::Options;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An event as it came.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: i64,
    kind: String,
    data: Value,
}

async fn open(address: SocketAddr, id: &str, last: Option<i64>) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // Small, so that what is not read stays with the server.
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
    let request = format!("GET /v1/jobs/{id}/events HTTP/1.1\r\nHost: x\r\n{last}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Everything until the server closes, or `until` was seen.
async fn read(stream: &mut TcpStream, until: &str) -> String {
    let (mut text, mut part) = (String::new(), [0; 4096]);
    let all = async {
        loop {
            match stream.read(&mut part).await.unwrap() {
                0 => return,
                count => text.push_str(&String::from_utf8_lossy(&part[..count])),
            }
            if !until.is_empty() && text.contains(until) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), all).await.expect("an end");
    text
}

fn events(text: &str) -> Vec<Event> {
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    let event = |block: &str| {
        let data = serde_json::from_str(&field(block, "data")?).unwrap();
        Some(Event { id: field(block, "id")?.parse().unwrap(), kind: field(block, "event")?, data })
    };
    text.split("\n\n").filter_map(event).collect()
}

#[tokio::test]
async fn a_stream_replays_follows_and_ends() {
    let server = Server::start().await;
    let (address, _stop, _) = server.listen().await;
    let id = server.submit("t1").await;
    let text = read(&mut open(address, &id, None).await, "").await;
    assert!(text.contains("content-type: text/event-stream"));
    let all = events(&text);
    let kinds: Vec<_> = all.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["state", "state", "stage", "pass", "pass", "pass", "state", "end"]);
    assert!(all[..7].iter().enumerate().all(|(index, event)| event.id == index as i64 + 1));
    assert_eq!((&all[0].data["state"], &all[6].data["state"]), (&"queued".into(), &"succeeded".into()));
    assert!(all.iter().all(|event| event.data["at"].as_str().unwrap().ends_with('Z')));
    assert_eq!(all[4].data["mean_plddt"], 70.5);

    let rest = events(&read(&mut open(address, &id, Some(5)).await, "").await);
    assert_eq!(rest, all[5..]);
    let end = events(&read(&mut open(address, &id, Some(7)).await, "").await);
    assert_eq!(end, all[7..]);
    let bad = server.get_with(&format!("/v1/jobs/{id}/events"), &[("last-event-id", "x")]).await;
    assert_eq!(bad.problem().1, "bad_header");
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing() {
    let server = Server::start().await;
    let (address, _stop, _) = server.listen().await;
    let id = server.submit("hold").await;
    let mut stream = open(address, &id, None).await;
    let first = events(&read(&mut stream, "\"network\"").await);
    drop(stream);
    let mut stream = open(address, &id, Some(first.last().unwrap().id)).await;
    server.store.cancel(id.parse().unwrap()).await.unwrap();
    let rest = events(&read(&mut stream, "").await);
    let states: Vec<_> = rest.iter().map(|event| event.data["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["cancelling", "cancelled", "cancelled"]);
    assert_eq!(rest[0].id, first.last().unwrap().id + 1);
    assert_eq!(rest[2].kind, "end");
}

#[tokio::test]
async fn silence_is_broken_by_comments() {
    let beat = |app: &mut api::App, _: &std::path::Path| app.limits.heartbeat = Duration::from_millis(200);
    let server = Server::with(beat, Options::default()).await;
    let (address, _stop, _) = server.listen().await;
    let id = server.submit("t1").await;
    let text = read(&mut open(address, &id, None).await, ": still here").await;
    assert_eq!(events(&text).len(), 1);
}

#[tokio::test]
async fn a_server_that_stops_breaks_streams_off() {
    let server = Server::start().await;
    let (address, stop, serving) = server.listen().await;
    let id = server.submit("hold").await;
    let mut stream = open(address, &id, None).await;
    read(&mut stream, "\"network\"").await;
    stop.send_replace(true);
    timeout(Duration::from_secs(15), serving).await.expect("it ends within its grace").unwrap();
    assert!(!read(&mut stream, "").await.contains("event: end"));
    assert!(TcpStream::connect(address).await.is_err());
}

/// Readers that read nothing take bounded memory, and hold nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_do_not_read_cost_little() {
    let mut server = Server::with(|_, _| {}, Options::default()).await;
    let (address, _stop, _) = server.listen().await;
    let id = server.submit("slow").await;
    let claim = server.store.claim("w").await.unwrap().unwrap();
    // 4 MB of events: all in each reader's memory they would be 1.6 GB.
    let row = vec![1234; 20_000];
    for _ in 0..40 {
        let data = serde_json::json!({"rows": 3, "neff": 1.0, "bands": [row]});
        server.store.append_event(claim.lease, "coverage", data).await.unwrap();
    }
    let before = resident();
    let mut readers = Vec::new();
    for _ in 0..400 {
        readers.push(open(address, &id, None).await);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let grown = resident().saturating_sub(before);
    println!("400 readers took {} MiB", grown >> 20);
    assert!(grown < 400 << 20, "400 readers took {} MiB", grown >> 20);
    server.work();
    let quick = events(&read(&mut open(address, &server.submit("t1").await, None).await, "").await);
    assert_eq!(quick.last().unwrap().kind, "end");
}

/// Bytes of this process in memory.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
