//! A relay to PostgreSQL that cuts connections at moments of its choice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The next COMMIT does not reach the database.
    BeforeCommit = 1,
    /// It does, and the answer does not come back.
    AfterCommit = 2,
    /// The next transaction is cut after it began.
    Statement = 3,
}

pub struct Proxy {
    pub url: String,
    /// What to cut next; 0 is nothing.
    next: Arc<AtomicU8>,
}

impl Proxy {
    pub async fn start(url: &str) -> Self {
        let (head, rest) = url.split_once('@').unwrap();
        let (to, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{head}@{}/{database}", listener.local_addr().unwrap());
        let next = Arc::new(AtomicU8::new(0));
        let (to, cut) = (to.to_owned(), Arc::clone(&next));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&to).await.unwrap();
                tokio::spawn(relay(client, server, Arc::clone(&cut)));
            }
        });
        Self { url, next }
    }

    pub fn cut(&self, cut: Cut) {
        assert_eq!(self.next.swap(cut as u8, Ordering::SeqCst), 0, "the last cut was not made");
    }
}

/// Until one side ends or it is to be cut; both ends are closed then.
async fn relay(mut client: TcpStream, mut server: TcpStream, next: Arc<AtomicU8>) {
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let take = |cut: Cut| next.compare_exchange(cut as u8, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut up) => {
                let said = &up[..count];
                if count == 0 || says(said, b"BEGIN") && take(Cut::Statement) {
                    return;
                }
                let commits = says(said, b"COMMIT");
                if commits && take(Cut::BeforeCommit) {
                    return;
                }
                if server.write_all(said).await.is_err() {
                    return;
                }
                if commits && take(Cut::AfterCommit) {
                    // The answer has come: it is committed.
                    assert!(server.read(&mut down).await.unwrap() > 0);
                    return;
                }
            }
            Ok(count) = server.read(&mut down) => {
                if count == 0 || client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

fn says(said: &[u8], word: &[u8]) -> bool {
    said.windows(word.len()).any(|part| part == word)
}
