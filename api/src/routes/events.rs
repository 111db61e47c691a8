//! Server-sent events: what happened, then what happens, until the end.

use super::parameters::Path;
use crate::app::Server;
use crate::caller::Caller;
use crate::code::Code;
use crate::problem::{Problem, Result};
use crate::stream::{self, Gone, Sink};
use ::jobs::{Event, Job, JobId};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use std::fmt;
use std::sync::Arc;
use tokio::time::Instant;
use utoipa::ToSchema;

/// Events read at a time: one at first, then more as long as they are short. So a slow reader keeps one long event in
/// memory, or some short ones, beside the two parts that are on their way.
const MOST: u32 = 64;
/// Bytes of short events.
const SHORT: usize = 16 << 10;

/// One event.
#[derive(ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventView {
    /// Its number, 1, 2, 3 …; the end has the last one's.
    #[schema(pattern = "^[0-9]+$", example = "3")]
    id: String,
    /// `state`, `stage`, `plan`, `note`, `coverage`, `block`, `pass` or `end`.
    #[schema(example = "stage")]
    event: String,
    /// JSON with `at`, and what belongs to the kind.
    #[schema(example = r#"{"at":"2026-11-28T09:30:00.250Z","stage":"network"}"#)]
    data: String,
}

impl EventView {
    fn new(event: &Event) -> Self {
        let mut data = event.data.clone();
        if let Some(object) = data.as_object_mut() {
            object.insert("at".into(), event.at.to_string().into());
        }
        // A kind is a worker's word.
        let kind = event.kind.chars().filter(|c| !c.is_control()).collect();
        Self { id: event.seq.to_string(), event: kind, data: data.to_string() }
    }

    /// Nothing follows.
    fn end(last: i64, job: &Job) -> Self {
        let data = serde_json::json!({"at": job.finished.map(|at| at.to_string()), "state": job.state});
        Self { id: last.to_string(), event: "end".into(), data: data.to_string() }
    }
}

/// On the wire. JSON has no line ends, so one line of data is enough.
impl fmt::Display for EventView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "id: {}\nevent: {}\ndata: {}\n\n", self.id, self.event, self.data)
    }
}

/// Follow a job
///
/// Server-sent events from the first, or after `Last-Event-ID`; the last is `end`.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/events",
    operation_id = "follow_job",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id."),
        ("Last-Event-ID" = Option<i64>, Header, description = "Number of the last event that is known.", minimum = 0)
    ),
    responses((status = 200, description = "Events: `id`, `event` (`state`, `stage`, `plan`, `note`, `coverage`, `block`, \
        `pass`, `end`) and `data` (JSON).", content_type = "text/event-stream", body = EventView))
)]
pub(crate) async fn events(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response> {
    let job = caller.job(&server, &id).await?;
    let after = last_event_id(&headers)?;
    if job.expired {
        return Err(Problem::new(Code::Expired, "the job's events have been removed"));
    }
    let id = job.id;
    let body = stream::body(move |sink| async move {
        // `Gone` needs no answer.
        let _ = follow(server, id, after, sink).await;
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        // Some proxies hold answers back until they are whole.
        (axum::http::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<i64> {
    let Some(value) = headers.get("last-event-id") else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.parse::<i64>().ok()).filter(|number| *number >= 0);
    number.ok_or_else(|| {
        Problem::new(Code::BadHeader, "Last-Event-ID: expected the number of an event, found another")
    })
}

async fn follow(server: Arc<Server>, id: JobId, mut after: i64, sink: Sink) -> std::result::Result<(), Gone> {
    // Before the first look, so that nothing falls between.
    let mut follower = server.follow.job(id);
    let (mut heard, mut part) = (Instant::now(), 1);
    sink.send("retry: 2000\n\n").await?;
    loop {
        // The job before its events: if it ended by now, its last event is among them.
        let (job, events) = match look(&server, id, after, part).await {
            Ok(found) => found,
            // The client comes back and learns what it is.
            Err(error) => {
                sink.fail(error).await;
                return Ok(());
            }
        };
        let full = events.len() == part as usize;
        let mut text = String::new();
        for event in events {
            after = event.seq;
            text.push_str(&EventView::new(&event).to_string());
        }
        part = if text.len() <= SHORT { MOST.min(2 * part) } else { 1 };
        if !text.is_empty() {
            sink.send(text).await?;
            heard = Instant::now();
        }
        if full {
            continue;
        }
        if job.state.is_terminal() {
            return sink.send(EventView::end(after, &job).to_string()).await;
        }
        let beat = heard + server.limits.heartbeat;
        tokio::select! {
            () = follower.changed() => {}
            () = tokio::time::sleep_until(beat.min(Instant::now() + server.limits.poll)) => {}
        }
        if Instant::now() >= beat {
            sink.send(": still here\n\n").await?;
            heard = Instant::now();
        }
    }
}

async fn look(server: &Server, id: JobId, after: i64, part: u32) -> ::jobs::Result<(Job, Vec<Event>)> {
    let job = server.store.get(id).await?;
    Ok((job, server.store.events(id, after, part).await?))
}
