//! Accepting and cancelling.

use super::parameters::{Path, idempotency_key};
use crate::accept;
use crate::app::Server;
use crate::caller::Caller;
use crate::code::Code;
use crate::problem::{Problem, Result};
use crate::shapes::{NewBatch, NewJob};
use crate::view::{Batch, JobView};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobs::Submitted;
use std::sync::Arc;

/// Whether the answer is that of an earlier request with the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Accept a job
///
/// The job is on disk when the answer comes.
#[utoipa::path(
    post,
    path = "/v1/jobs",
    operation_id = "submit_job",
    tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body is the same job.")),
    request_body(content = NewJob, description = "A job to be folded."),
    responses((status = 202, description = "Accepted.", body = JobView,
        headers(("Location" = String, description = "The job's address."))))
)]
pub(crate) async fn submit(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let key = idempotency_key(&headers)?;
    let began = std::time::Instant::now();
    let (new, received) = accept::new_job(&server, &headers, body).await?;
    let engine = server.engine()?;
    let limits = server.limits.clone();
    let checked = server.parse(move || accept::check(new, &engine, &limits)).await?;
    drop(received);
    let submitted = accept::store(&server, &caller.tenant, vec![(checked, key)]).await?;
    server.metrics.submitted(began.elapsed());
    let Some(Submitted { job, fresh }) = submitted.into_iter().next() else {
        return Err(Problem::internal("the store accepted nothing and did not say why"));
    };
    let position = super::read::position(&server, &job).await?;
    let view = JobView::new(&job, position, true);
    let location = HeaderValue::from_str(&view.links.this).map_err(Problem::internal)?;
    let mut response = (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(view)).into_response();
    mark_replayed(&mut response, fresh);
    Ok(response)
}

/// Accept several jobs, all or none
#[utoipa::path(
    post,
    path = "/v1/batches",
    operation_id = "submit_batch",
    tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body are the same jobs.")),
    request_body(content = NewBatch, description = "Jobs to be folded."),
    responses((status = 202, description = "All accepted.", body = Batch))
)]
pub(crate) async fn submit_batch(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let key = idempotency_key(&headers)?;
    let began = std::time::Instant::now();
    let (NewBatch { jobs }, received) = accept::new_batch(&server, &headers, body).await?;
    if jobs.is_empty() || jobs.len() > server.limits.batch {
        let detail = format!("jobs: expected 1 to {}, found {}", server.limits.batch, jobs.len());
        return Err(Problem::new(Code::BadField, detail).at("/jobs"));
    }
    let engine = server.engine()?;
    let limits = server.limits.clone();
    let checked = server.parse(move || {
        let check = |(index, new)| {
            let checked = accept::check(new, &engine, &limits);
            checked.map_err(|problem| problem.within(&format!("/jobs/{index}")))
        };
        jobs.into_iter().enumerate().map(check).collect::<Result<Vec<_>>>()
    });
    let checked = checked.await?;
    drop(received);
    // A header cannot hold the separator, so no other key is like these. The count is in it: a batch that was cut
    // short or grew is another one.
    let count = checked.len();
    let keyed = checked
        .into_iter()
        .enumerate()
        .map(|(index, checked)| (checked, key.as_ref().map(|key| format!("{key}\u{1f}{index}/{count}"))));
    let submitted = accept::store(&server, &caller.tenant, keyed.collect()).await?;
    server.metrics.submitted(began.elapsed());
    let fresh = submitted.iter().all(|one| one.fresh);
    let jobs = submitted.iter().map(|one| JobView::new(&one.job, None, false)).collect();
    let mut response = (StatusCode::ACCEPTED, Json(Batch { jobs })).into_response();
    mark_replayed(&mut response, fresh);
    Ok(response)
}

fn mark_replayed(response: &mut Response, fresh: bool) {
    if !fresh {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// Cancel a job
///
/// As often as one likes; a job that ended stays as it is.
#[utoipa::path(
    delete,
    path = "/v1/jobs/{id}",
    operation_id = "cancel_job",
    tag = "jobs",
    params(("id" = String, Path, description = "The job's id.")),
    responses((status = 200, description = "The job as it is now.", body = JobView))
)]
pub(crate) async fn cancel(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path,
) -> Result<Json<JobView>> {
    let job = caller.job(&server, &id).await?;
    let job = server.store.cancel(job.id).await?;
    Ok(Json(JobView::new(&job, None, true)))
}
