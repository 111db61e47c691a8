//! What a job was made from: its alignment, and the body that makes it again.

use super::parameters::Path;
use crate::app::Server;
use crate::caller::Caller;
use crate::code::Code;
use crate::problem::{Problem, Result};
use crate::send::{Blob, send, tagged};
use crate::shapes::{NewJob, NewTemplate};
use ::jobs::{Digest, Job};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use work::Order;

/// Read the input
///
/// A body for `POST /v1/jobs` that makes the job again, alignment and templates included; a webhook, whose secret is told
/// to nobody, excepted.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/input",
    operation_id = "read_input",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id.")),
    responses((status = 200, description = "The body.", body = NewJob))
)]
pub(crate) async fn input(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path,
) -> Result<Json<NewJob>> {
    let job = caller.job(&server, &id).await?;
    let order = order(&job)?;
    let alignment = match &order.alignment {
        Some(alignment) => Some(text(&server, &alignment.sha256).await?),
        None => None,
    };
    let mut templates = Vec::with_capacity(order.templates.len());
    for template in &order.templates {
        let structure = text(&server, &template.sha256).await?;
        templates.push(NewTemplate {
            name: Some(template.name.clone()),
            structure,
            chain: template.chain.clone(),
        });
    }
    Ok(Json(NewJob {
        name: Some(order.name),
        sequence: Some(order.sequence),
        alignment,
        templates,
        options: order.options.into(),
        priority: job.priority,
        max_attempts: Some(job.max_attempts),
        webhook: None,
        reuse: true,
    }))
}

/// Read the alignment
///
/// As it was given (Stockholm as A3M); of a sequence alone, the sequence.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/alignment",
    operation_id = "read_alignment",
    tag = "results",
    params(("id" = String, Path, description = "The job's id.")),
    responses(
        (status = 200, description = "A3M.", content_type = "text/plain", body = String),
        (status = 206, description = "A part of it.", content_type = "text/plain", body = String),
        (status = 304, description = "As in `If-None-Match`.")
    )
)]
pub(crate) async fn alignment(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response> {
    let job = caller.job(&server, &id).await?;
    let order = order(&job)?;
    let kind = "text/plain; charset=utf-8";
    let Some(alignment) = order.alignment else {
        let text = format!(">{}\n{}\n", order.name, order.sequence);
        let tag = format!("\"{}\"", Digest::of(text.as_bytes()));
        return tagged(&headers, &tag, kind, || text.into_response());
    };
    let digest: Digest = alignment.sha256.parse().map_err(Problem::internal)?;
    let bytes = server.blobs.size(digest).await?;
    let name = format!("{}.a3m", order.name);
    send(&server, &headers, Blob { sha256: &alignment.sha256, bytes, kind, name }).await
}

/// What is to be folded, unless it has been removed.
fn order(job: &Job) -> Result<Order> {
    if job.expired {
        return Err(Problem::new(Code::Expired, "the job's input has been removed"));
    }
    serde_json::from_value(job.request.clone()).map_err(Problem::internal)
}

/// A blob that came as text.
async fn text(server: &Server, sha256: &str) -> Result<String> {
    let bytes = server.blobs.get(sha256.parse().map_err(Problem::internal)?).await?;
    String::from_utf8(bytes).map_err(Problem::internal)
}
