//! The JSON that clients get.

use crate::shapes::NewOptions;
use jobs::State;
use serde::Serialize;
use utoipa::ToSchema;
use work::{Order, Product};

/// A job as clients see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    /// Its id.
    #[schema(
        pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        example = "0199a1b2-0000-7000-8000-000000000000"
    )]
    pub id: String,
    /// As in the request, made safe for names of files; null once expired.
    pub name: Option<String>,
    /// Where it is.
    pub state: State,
    /// Length of the sequence; null once expired.
    pub residues: Option<u32>,
    /// Rows of the alignment; null without one.
    pub msa_rows: Option<u32>,
    /// As it is folded; null once expired.
    pub sequence: Option<String>,
    /// How it is folded; null once expired.
    pub options: Option<NewOptions>,
    /// Of the model it was accepted for; null once expired.
    pub weights_sha256: Option<String>,
    /// Higher goes first.
    pub priority: i32,
    /// Attempts begun.
    pub attempts: u32,
    /// Attempts before it fails.
    pub max_attempts: u32,
    /// Jobs ahead of a queued one, from 0.
    pub position: Option<u64>,
    /// Accepted.
    #[schema(format = DateTime)]
    pub created: String,
    /// First begun.
    #[schema(format = DateTime)]
    pub started: Option<String>,
    /// Ended.
    #[schema(format = DateTime)]
    pub finished: Option<String>,
    /// When it is tried again, in `retry_wait`.
    #[schema(format = DateTime)]
    pub due: Option<String>,
    /// Why the latest attempt failed.
    pub reason: Option<ReasonView>,
    /// Answered from an earlier job's result.
    pub reused: bool,
    /// Its result and events have been removed.
    pub expired: bool,
    /// Number of its latest event.
    pub last_event: i64,
    /// Its product once it succeeded; in `GET /v1/jobs/{id}` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Product>,
    /// Where to go on.
    pub links: Links,
}

/// Why an attempt or a job failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Reason)]
pub struct ReasonView {
    /// Stable, for programs.
    #[schema(example = "out_of_memory")]
    pub code: String,
    /// For people.
    pub message: String,
}

/// Addresses of a job's parts.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Links {
    /// The job.
    #[serde(rename = "self")]
    pub this: String,
    /// Its events.
    pub events: String,
    /// Its result.
    pub result: String,
}

/// A page of jobs.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobList {
    /// Newest first.
    pub jobs: Vec<JobView>,
    /// The `cursor` of the next page; null on the last.
    pub next: Option<String>,
}

/// Jobs accepted together.
#[derive(Debug, Serialize, ToSchema)]
pub struct Batch {
    /// In the order of the request.
    pub jobs: Vec<JobView>,
}

impl JobView {
    /// Of a stored job; `with_result` puts its product in.
    pub(crate) fn new(job: &jobs::Job, position: Option<u64>, with_result: bool) -> Self {
        // Null once expired. One of another version cannot be shown, and is not lost for that.
        let order: Option<Order> = serde_json::from_value(job.request.clone()).ok();
        let result = job.result.as_ref().filter(|_| with_result);
        let base = format!("/v1/jobs/{}", job.id);
        let mut view = Self {
            id: job.id.to_string(),
            name: None,
            state: job.state,
            residues: None,
            msa_rows: None,
            sequence: None,
            options: None,
            weights_sha256: None,
            priority: job.priority,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            position,
            created: job.created.to_string(),
            started: job.started.map(|at| at.to_string()),
            finished: job.finished.map(|at| at.to_string()),
            due: job.due.map(|at| at.to_string()),
            reason: job
                .reason
                .as_ref()
                .map(|reason| ReasonView { code: reason.code.clone(), message: reason.message.clone() }),
            reused: job.reused.is_some(),
            expired: job.expired,
            last_event: job.last_event,
            result: result.and_then(|result| serde_json::from_value(result.clone()).ok()),
            links: Links { events: format!("{base}/events"), result: format!("{base}/result"), this: base },
        };
        if let Some(order) = order {
            view.residues = Some(order.sequence.len() as u32);
            view.msa_rows = order.alignment.as_ref().map(|alignment| alignment.rows);
            view.name = Some(order.name);
            view.sequence = Some(order.sequence);
            view.options = Some(order.options.into());
            view.weights_sha256 = Some(order.weights_sha256);
        }
        view
    }
}
