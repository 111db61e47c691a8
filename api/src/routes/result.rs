//! Results: structures, files, and the archive of all.

use super::parameters::{Path, Query};
use crate::app::Server;
use crate::caller::Caller;
use crate::code::Code;
use crate::negotiate::{self, Kind};
use crate::problem::{Problem, Result};
use crate::send::{Blob, send, tagged};
use crate::zip::Member;
use crate::{stream, zip};
use ::jobs::{Digest, Job, State as JobState};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use work::{Order, Product};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResultParameters {
    /// Which prediction, from 1, the best.
    #[param(minimum = 1, maximum = 1000, example = 1)]
    rank: Option<u32>,
}

/// Read a result
///
/// By `Accept`: a prediction as PDB (default) or mmCIF, the product as JSON, or all files as zip.
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/result",
    operation_id = "read_result",
    tag = "results",
    params(
        ("id" = String, Path, description = "The job's id."),
        ResultParameters,
        ("Range" = Option<String>, Header, description = "A part of a structure."),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` of this form.")
    ),
    responses(
        (status = 200, description = "The result.", headers(("ETag" = String, description = "The sha256 of the file.")), content(
            (String = "chemical/x-pdb"), (String = "chemical/x-mmcif"),
            (work::Product = "application/json"), (String = "application/zip"))),
        (status = 206, description = "A part of it.", content((String = "chemical/x-pdb"), (String = "chemical/x-mmcif"))),
        (status = 304, description = "As in `If-None-Match`.")
    )
)]
pub(crate) async fn result(
    State(server): State<Arc<Server>>,
    caller: Caller,
    Path(id): Path,
    Query(parameters): Query<ResultParameters>,
    headers: HeaderMap,
) -> Result<Response> {
    // The type first: it is wrong whatever the job is.
    let kind = negotiate::kind(&headers)?;
    let job = caller.job(&server, &id).await?;
    let product = product(&job)?;
    let rank = parameters.rank.unwrap_or(1);
    let mut response = match kind {
        Kind::Pdb => structure(&server, &headers, &job, &product, rank, "pdb").await?,
        Kind::Cif => structure(&server, &headers, &job, &product, rank, "cif").await?,
        Kind::Json => json(&headers, &product)?,
        Kind::Zip => archive(&server, &headers, &job, product)?,
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept, Authorization"));
    Ok(response)
}

/// The product of a job that has one.
pub(crate) fn product(job: &Job) -> Result<Product> {
    if job.expired {
        return Err(Problem::new(Code::Expired, "the job's result has been removed"));
    }
    match (&job.result, job.state) {
        (Some(result), _) => serde_json::from_value(result.clone()).map_err(Problem::internal),
        (None, JobState::Failed | JobState::Cancelled) => {
            let why = job.reason.as_ref().map_or(String::new(), |reason| format!(": {}", reason.message));
            Err(Problem::new(Code::NoResult, format!("the job is {}{why}", job.state)))
        }
        (None, state) => Err(Problem::new(
            Code::NotFinished,
            format!("expected a job that succeeded, found one that is {state}"),
        )
        .retry_after(2)),
    }
}

async fn structure(
    server: &Server,
    headers: &HeaderMap,
    job: &Job,
    product: &Product,
    rank: u32,
    ending: &str,
) -> Result<Response> {
    let name = format!("rank_{rank:03}.{ending}");
    let missing = || {
        let detail = format!("expected a rank of 1 to {}, found {rank}", product.ranking.len());
        Problem::new(Code::NotFound, detail)
    };
    let item = product.file(&name).ok_or_else(missing)?;
    let saved = format!("{}_{name}", base(job));
    send(
        server,
        headers,
        Blob { sha256: &item.sha256, bytes: item.bytes, kind: negotiate::of_name(&name), name: saved },
    )
    .await
}

fn json(headers: &HeaderMap, product: &Product) -> Result<Response> {
    let text = serde_json::to_vec(product).map_err(Problem::internal)?;
    let tag = format!("\"{}\"", Digest::of(&text));
    tagged(headers, &tag, "application/json", || text.into_response())
}

fn archive(server: &Server, headers: &HeaderMap, job: &Job, product: Product) -> Result<Response> {
    let list = serde_json::to_vec(&product.files).map_err(Problem::internal)?;
    // Of the files it holds: the same ones make the same archive.
    let tag = format!("\"{}\"", Digest::of(&list));
    let folder = base(job);
    let saved = format!("attachment; filename=\"{folder}.zip\"");
    let mut members = Vec::with_capacity(product.files.len());
    for item in product.files {
        let digest: Digest = item.sha256.parse().map_err(Problem::internal)?;
        members.push(Member { name: format!("{folder}/{}", item.name), digest, bytes: item.bytes });
    }
    let blobs = server.blobs.clone();
    let body = || stream::body(|sink| zip::send(blobs, members, sink)).into_response();
    let mut response = tagged(headers, &tag, "application/zip", body)?;
    let saved = HeaderValue::from_str(&saved).map_err(Problem::internal)?;
    response.headers_mut().insert(header::CONTENT_DISPOSITION, saved);
    Ok(response)
}

/// What saved files of a job begin with.
fn base(job: &Job) -> String {
    // Safe: an order's name has been made so when it was accepted.
    let order: Option<Order> = serde_json::from_value(job.request.clone()).ok();
    order.map_or_else(|| job.id.to_string(), |order| order.name)
}

/// Read a file of a result
#[utoipa::path(
    get,
    path = "/v1/jobs/{id}/files/{name}",
    operation_id = "read_file",
    tag = "results",
    params(
        ("id" = String, Path, description = "The job's id."),
        ("name" = String, Path, description = "A name of the product's `files`."),
        ("Range" = Option<String>, Header, description = "A part of the file, unless it is JSON."),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` of this file.")
    ),
    responses(
        (status = 200, description = "The file.", headers(("ETag" = String, description = "Its sha256.")), content(
            (String = "chemical/x-pdb"), (String = "chemical/x-mmcif"), (serde_json::Value = "application/json"),
            (String = "text/html"), (String = "text/plain"), (String = "application/octet-stream"))),
        (status = 206, description = "A part of it; JSON comes whole.", content(
            (String = "chemical/x-pdb"), (String = "chemical/x-mmcif"),
            (String = "text/html"), (String = "text/plain"), (String = "application/octet-stream"))),
        (status = 304, description = "As in `If-None-Match`.")
    )
)]
pub(crate) async fn file(
    State(server): State<Arc<Server>>,
    caller: Caller,
    axum::extract::Path((id, name)): axum::extract::Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let job = caller.job(&server, &id).await?;
    let product = product(&job)?;
    let missing = || Problem::new(Code::NotFound, "expected the name of a file of the result, found another");
    let item = product.file(&name).ok_or_else(missing)?;
    let blob = Blob {
        sha256: &item.sha256,
        bytes: item.bytes,
        kind: negotiate::of_name(&item.name),
        name: format!("{}_{}", base(&job), item.name),
    };
    let mut response = send(&server, &headers, blob).await?;
    if item.name.ends_with(".html") {
        // A report is a page of its own: it runs its own script, and sees nothing of ours.
        let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
                      sandbox allow-scripts allow-downloads; frame-ancestors 'self'";
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    Ok(response)
}
