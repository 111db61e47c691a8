//! Lines of JSON, with a limit on their length.

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Bytes of a line at most. The longest is the coverage of a long sequence; this is a hundred times that.
const LONGEST: u64 = 8 << 20;

/// Reads messages, one a line.
pub(crate) struct Lines<R> {
    from: R,
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, line: Vec::new() }
    }

    /// The next message; `None` at the end. What was read of a line is kept if the caller gives up waiting.
    /// # Errors  in words: a line that is too long or no message, or the pipe's own.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, String> {
        loop {
            let room = LONGEST - self.line.len() as u64;
            if room == 0 {
                return Err(format!("expected lines of at most {LONGEST} bytes, found a longer one"));
            }
            let mut part = (&mut self.from).take(room);
            let count = part
                .read_until(b'\n', &mut self.line)
                .await
                .map_err(|error| format!("cannot read: {error}"))?;
            if self.line.ends_with(b"\n") {
                let message = serde_json::from_slice(&self.line)
                    .map_err(|error| format!("expected a message, found something else: {error}"));
                self.line.clear();
                return message.map(Some);
            }
            if count == 0 {
                // A child that dies may leave half a line.
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn all(bytes: &[u8]) -> (Vec<Value>, Option<String>) {
        let mut lines = Lines::new(tokio::io::BufReader::with_capacity(7, bytes));
        let mut found = Vec::new();
        loop {
            match lines.next().await {
                Ok(Some(value)) => found.push(value),
                Ok(None) => return (found, None),
                Err(error) => return (found, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn messages_are_lines() {
        let (found, error) = all(b"{\"a\": 1}\n[2]\n{\"half").await;
        assert_eq!((found, error), (vec![json!({"a": 1}), json!([2])], None));
        let (found, error) = all(b"1\nnot json\n2\n").await;
        assert_eq!(found, [json!(1)]);
        assert!(error.unwrap().contains("expected a message"));
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused() {
        let (found, error) = all(&vec![b' '; LONGEST as usize + 5]).await;
        assert!(found.is_empty() && error.unwrap().contains("a longer one"));
    }
}
