//! The queue, and the thread that sends what is in it.

use crate::json;
use crate::span::Ended;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::Uri;

/// Spans that wait at most; about 1 MB.
const QUEUE: usize = 2048;
/// Spans of one request to the collector at most.
const BATCH: usize = 512;
/// The longest that a span waits for others to go with.
const GATHER: Duration = Duration::from_secs(1);
/// For one request to the collector.
const PATIENCE: Duration = Duration::from_secs(10);

/// A collector's address: `http://HOST:4318`, or https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

/// What is no collector's address. The text is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected http://HOST:PORT of an OpenTelemetry collector, found {0}")]
pub struct EndpointError(&'static str);

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let uri: Uri = text.parse().map_err(|_| EndpointError("something else"))?;
        let Some(scheme @ ("http" | "https")) = uri.scheme_str() else {
            return Err(EndpointError("no http:// or https:// in front"));
        };
        let host = uri.authority().ok_or(EndpointError("no host"))?;
        if host.as_str().contains('@') {
            return Err(EndpointError("a user's name before the host"));
        }
        if uri.query().is_some() {
            return Err(EndpointError("a query behind it"));
        }
        Ok(Self(format!("{scheme}://{host}{}/v1/traces", uri.path().trim_end_matches('/'))))
    }
}

enum Message {
    Span(Ended),
    /// Send what came before, by then; and end.
    Close(Instant),
}

struct Shared {
    queue: SyncSender<Message>,
    dropped: AtomicU64,
    /// Disconnected once the thread has ended.
    ended: Mutex<Receiver<()>>,
}

/// Where spans go. Cheap to clone; the default is nowhere.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<Shared>>);

impl std::fmt::Debug for Spans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Spans").field(&self.is_on()).finish()
    }
}

impl Spans {
    /// Starts to send to a collector; `instance` names this process among those that send.
    /// # Errors  when the system gives no thread.
    pub fn start(endpoint: &Endpoint, instance: &str) -> std::io::Result<Self> {
        let (queue, queued) = sync_channel(QUEUE);
        let (alive, ended) = sync_channel(0);
        let shared = Arc::new(Shared { queue, dropped: AtomicU64::new(0), ended: Mutex::new(ended) });
        let sender = Sender {
            url: endpoint.0.clone(),
            instance: instance.to_owned(),
            // The thread ends with the last of those that send.
            shared: Arc::downgrade(&shared),
            unwell: false,
        };
        std::thread::Builder::new().name("spans".into()).spawn(move || {
            let _alive = alive;
            sender.run(&queued);
        })?;
        Ok(Self(Some(shared)))
    }

    /// Whether spans go anywhere.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Spans dropped so far: the queue was full, or the collector did not take them. `None` if they go nowhere.
    pub fn dropped(&self) -> Option<u64> {
        self.0.as_ref().map(|shared| shared.dropped.load(Relaxed))
    }

    pub(crate) fn send(&self, span: Ended) {
        if let Some(shared) = &self.0
            && shared.queue.try_send(Message::Span(span)).is_err()
        {
            shared.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Sends what waits, and sends nothing more. Waits for so long at most, and blocks meanwhile.
    pub fn close(&self, patience: Duration) {
        let Some(shared) = &self.0 else { return };
        let by = Instant::now() + patience;
        let mut message = Message::Close(by);
        // A full queue: the collector is slow. It may get better.
        while let Err(std::sync::mpsc::TrySendError::Full(back)) = shared.queue.try_send(message) {
            if Instant::now() >= by {
                return;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        let ended = shared.ended.lock().expect("no holder panics");
        // Nothing is ever sent: it ends by the thread's end, or by the time.
        let _ = ended.recv_timeout(by.saturating_duration_since(Instant::now()));
    }
}

struct Sender {
    url: String,
    instance: String,
    shared: std::sync::Weak<Shared>,
    /// The last request failed, and that is in the log.
    unwell: bool,
}

impl Sender {
    fn run(mut self, queued: &Receiver<Message>) {
        // Connections are kept. Neither proxies nor redirects: spans go where the operator said, and nowhere else.
        let config = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("foldry/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = Agent::new_with_config(config);
        loop {
            let Ok(first) = queued.recv() else { return };
            let (batch, close) = gather(first, queued);
            if !batch.is_empty() {
                let patience = close.map_or(PATIENCE, |by| by.saturating_duration_since(Instant::now()));
                self.post(&agent, &batch, patience.max(Duration::from_millis(1)));
            }
            if close.is_some() {
                return;
            }
        }
    }

    fn post(&mut self, agent: &Agent, batch: &[Ended], patience: Duration) {
        let request = agent.post(&self.url).header("content-type", "application/json");
        let request = request.config().timeout_global(Some(patience)).build();
        let answer = request.send(&json::body(batch, &self.instance));
        let why = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answers {}", answer.status().as_u16())),
            Err(error) => Some(error.to_string()),
        };
        match why {
            None if self.unwell => tracing::info!("spans.again"),
            None => {}
            Some(why) => {
                if let Some(shared) = self.shared.upgrade() {
                    shared.dropped.fetch_add(batch.len() as u64, Relaxed);
                }
                // Once, not at every batch.
                if !self.unwell {
                    tracing::warn!(why, "spans.failed");
                }
                self.unwell = true;
                return;
            }
        }
        self.unwell = false;
    }
}

/// What goes together: what waits, and what comes within a moment.
fn gather(first: Message, queued: &Receiver<Message>) -> (Vec<Ended>, Option<Instant>) {
    let until = Instant::now() + GATHER;
    let (mut batch, mut next) = (Vec::new(), first);
    loop {
        match next {
            Message::Span(span) => batch.push(span),
            Message::Close(by) => return (batch, Some(by)),
        }
        if batch.len() == BATCH {
            return (batch, None);
        }
        next = match queued.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(next) => next,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return (batch, None),
        };
    }
}
