//! Server-sent events as they come, bounded. Source: WHATWG HTML, section 9.2.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Duration;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub id: Option<u64>,
    /// Its kind.
    pub kind: String,
    /// Its data, lines joined.
    pub data: String,
}

/// Reads events.
pub struct Events<R> {
    lines: BufReader<R>,
    /// Of one event.
    limit: usize,
    /// What the server asks to wait before coming back.
    pub retry: Option<Duration>,
}

/// Bytes of one event: a long sequence's coverage has hundreds of kilobytes.
const LIMIT: usize = 32 << 20;

impl<R: Read> Events<R> {
    /// Events of an answer's body.
    pub fn new(body: R) -> Self {
        Self { lines: BufReader::new(body), limit: LIMIT, retry: None }
    }

    /// The next event; `None` where the connection ended. What stands behind the last blank line is no event.
    ///
    /// # Errors  a connection that broke, an event beyond the limit.
    pub fn next(&mut self) -> io::Result<Option<Event>> {
        let (mut event, mut any, mut bytes) = (Event::default(), false, 0);
        loop {
            let mut line = Vec::new();
            let left = self.limit.saturating_sub(bytes) as u64 + 1;
            self.lines.by_ref().take(left).read_until(b'\n', &mut line)?;
            bytes += line.len();
            if bytes > self.limit {
                return Err(io::Error::other("an event is too long"));
            }
            if line.pop_if(|b| *b == b'\n').is_none() {
                return Ok(None);
            }
            line.pop_if(|b| *b == b'\r');
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.is_empty() {
                if any {
                    return Ok(Some(event));
                }
                bytes = 0;
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => event.id = value.parse().ok(),
                "event" => event.kind = value.to_string(),
                "retry" => self.retry = value.parse().ok().map(Duration::from_millis),
                "data" => {
                    if any {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                    any = true;
                }
                _ => {} // comments, and what is not known
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_to_the_last_whole_one() {
        let text = "retry: 50\n\n: still here\n\nid: 3\r\nevent: stage\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nevent: x\n\nid: 4\nevent: end\ndata: {";
        let mut events = Events::new(text.as_bytes());
        let event = events.next().unwrap().unwrap();
        assert_eq!(event, Event { id: Some(3), kind: "stage".into(), data: "{\"a\":\n1}".into() });
        assert_eq!(events.retry, Some(Duration::from_millis(50)));
        assert_eq!(events.next().unwrap(), None);
        let mut long = Events { limit: 30, ..Events::new(io::repeat(b'x')) };
        assert!(long.next().is_err());
    }
}
