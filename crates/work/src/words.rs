//! What a child writes to its standard error goes where the server's goes; its last words are kept, as they tell why it
//! died.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

/// Last words are so many bytes: a backtrace may follow what tells why.
const LAST: usize = 64 << 10;

/// What Rust's own runtime says before it aborts because memory was refused: to an allocation, or to the stack on which a
/// new thread's signals are handled.
const NO_MEMORY: [&[u8]; 2] = [b"memory allocation of ", b"Cannot allocate memory"];

/// The way of a child's words.
pub(crate) struct Words {
    last: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Words {
    /// Passes them on until the child closes its end.
    pub(crate) fn pass_on(mut from: ChildStderr) -> Self {
        let last = Arc::new(Mutex::new(Vec::new()));
        let kept = last.clone();
        let task = tokio::spawn(async move {
            let mut part = vec![0; 8192];
            while let Ok(count @ 1..) = from.read(&mut part).await {
                {
                    let mut kept = kept.lock().expect("no holder panics");
                    kept.extend_from_slice(&part[..count]);
                    let surplus = kept.len().saturating_sub(LAST);
                    kept.drain(..surplus);
                }
                // The child goes on, even if nobody can read it.
                let _ = std::io::stderr().write_all(&part[..count]);
            }
        });
        Self { last, task }
    }

    /// Whether a child that has ended said that it was refused memory.
    pub(crate) async fn of_memory(&mut self) -> bool {
        // Something that it started may still hold the other end.
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.task).await;
        let last = self.last.lock().expect("no holder panics");
        NO_MEMORY.iter().any(|words| last.windows(words.len()).any(|part| part == *words))
    }
}
