//! Jobs: one, with waiting, and a page of them.

use super::parameters::{Path, Query, within};
use crate::app::Server;
use crate::caller::Caller;
use crate::code::Code;
use crate::problem::{Problem, Result};
use crate::view::{JobList, JobView};
use ::jobs::{Digest, Job};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadParameters {
    /// Seconds to wait for a change.
    #[param(minimum = 0, maximum = 60, example = 0)]
    wait: Option<u64>,
}

/// Read a job
///
/// With `wait` the answer comes when the job is no longer as in `If-None-Match` (or as it was when the request came), at
/// the latest after so many seconds. `last_event` alone is no change.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}",
    operation_id = "read_job",
    tag = "jobs",
    params(
        ("id" = String, Path, description = "The job's id."),
        ReadParameters,
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` of this job.")
    ),
    responses(
        (status = 200, description = "The job.", body = JobView, headers(("ETag" = String, description = "Of this answer."))),
        (status = 304, description = "As in `If-None-Match`.")
    )
)]
pub(crate) async fn read(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path,
    Query(parameters): Query<ReadParameters>,
    headers: HeaderMap,
) -> Result<Response> {
    let wait = within("wait", parameters.wait.unwrap_or(0), 0, server.limits.wait.as_secs())?;
    let end = Instant::now() + Duration::from_secs(wait);
    let job = caller.job(&server, &id).await?;
    let mut follower = server.follow.job(job.id);
    let mut view = view(&server, &job).await?;
    let mut tag = tag(&view);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let mut same = known.is_none_or(|known| matches(known, &tag));
    let first = tag.clone();
    while same && !view.state.is_terminal() && Instant::now() < end {
        tokio::select! {
            () = follower.changed() => {}
            () = tokio::time::sleep_until(end.min(Instant::now() + server.limits.poll)) => {}
        }
        let job = caller.job(&server, &id).await?;
        view = self::view(&server, &job).await?;
        tag = self::tag(&view);
        same = tag == first;
    }
    let tag_header = HeaderValue::from_str(&tag).map_err(Problem::internal)?;
    let headers = [(header::ETAG, tag_header), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    if known.is_some_and(|known| matches(known, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Ok((headers, Json(view)).into_response())
}

async fn view(server: &Server, job: &Job) -> Result<JobView> {
    Ok(JobView::new(job, position(server, job).await?, true))
}

/// Jobs ahead of a queued one.
pub(crate) async fn position(server: &Server, job: &Job) -> Result<Option<u64>> {
    if job.state != ::jobs::State::Queued {
        return Ok(None);
    }
    match server.store.position(job.id).await {
        // It was forgotten since.
        Err(::jobs::Error::Unknown(_)) => Ok(None),
        position => Ok(position?),
    }
}

/// Weak, since progress alone, a few times a second, does not count as a change.
fn tag(view: &JobView) -> String {
    let view = JobView { last_event: 0, ..view.clone() };
    let json = serde_json::to_vec(&view).expect("a job is JSON");
    format!("W/\"{}\"", &Digest::of(&json).to_string()[..32])
}

/// Whether a header `If-None-Match` has this tag (weak comparison, RFC 9110 §8.8.3.2).
pub(crate) fn matches(header: &str, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    header.trim() == "*" || header.split(',').any(|one| bare(one) == bare(tag))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// In this state only.
    #[param(value_type = Option<jobs::State>, inline)]
    state: Option<::jobs::State>,
    /// `next` of the page before.
    #[param(pattern = "^[1-9][0-9]{0,17}$", example = "120")]
    cursor: Option<String>,
    /// Jobs of a page.
    #[param(minimum = 1, maximum = 200, example = 50)]
    limit: Option<u64>,
}

/// List jobs, newest first
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(ListParameters),
    responses((status = 200, description = "A page.", body = JobList))
)]
pub(crate) async fn list(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Query(parameters): Query<ListParameters>,
) -> Result<Json<JobList>> {
    let limit = within("limit", parameters.limit.unwrap_or(50), 1, server.limits.page.into())? as u32;
    let before = parameters.cursor.as_deref().map(cursor).transpose()?;
    let query = ::jobs::Query {
        tenant: Some(caller.tenant.clone()),
        state: parameters.state,
        before,
        limit: limit + 1,
    };
    let mut jobs = server.store.list(&query).await?;
    let more = jobs.len() > limit as usize;
    jobs.truncate(limit as usize);
    let next = jobs.last().filter(|_| more).map(|job| job.seq.to_string());
    Ok(Json(JobList { jobs: jobs.iter().map(|job| JobView::new(job, None, false)).collect(), next }))
}

fn cursor(text: &str) -> Result<i64> {
    let digits =
        (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| {
        Problem::new(Code::BadParameter, "cursor: expected `next` of the page before, found another")
    })
}
