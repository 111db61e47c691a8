//! Input files of any kind, as bodies for `POST /v1/jobs`.

use super::parameters::Query;
use crate::app::Server;
use crate::body::{Encoding, receive, unpack};
use crate::caller::Caller;
use crate::code::Code;
use crate::limits::Limits;
use crate::problem::{Problem, Result};
use crate::shapes::{Inputs, NewJob};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InputParameters {
    /// The file's name, whose ending helps to tell its format.
    #[param(max_length = 255, example = "t1.fasta")]
    name: Option<String>,
}

/// Read an input file
///
/// FASTA, A3M, Stockholm or a job file, also as `.gz` or `.zst`; nothing is accepted yet.
#[utoipa::path(
    post,
    path = "/v1/inputs",
    operation_id = "read_inputs",
    tag = "jobs",
    params(InputParameters),
    request_body(content = String, content_type = "application/octet-stream", description = "The file.",
        example = ">t1\nMKVLAAGIVGLLLAQPSWA\n"),
    responses((status = 200, description = "Bodies for `POST /v1/jobs`.", body = Inputs))
)]
pub(crate) async fn inputs(
    State(server): State<Arc<Server>>,
    _: Caller,
    Query(parameters): Query<InputParameters>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Inputs>> {
    let received = receive(&server, &headers, body).await?;
    let name = file_name(parameters.name.as_deref())?;
    let limits = server.limits.clone();
    let inputs = server.parse(move || {
        let encoding = Encoding::of_bytes(&received.bytes);
        let received = unpack(received, encoding, limits.body, limits.ratio)?;
        read(&name, &received.bytes, &limits)
    });
    Ok(Json(inputs.await?))
}

/// The last part of a name; it is shown in messages and nothing is opened by it.
fn file_name(name: Option<&str>) -> Result<String> {
    let name = name.unwrap_or("input");
    if name.chars().count() > 255 {
        return Err(Problem::new(Code::BadParameter, "name: expected at most 255 characters, found more"));
    }
    let name: String = name.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
    let last = name.rsplit(['/', '\\']).next().unwrap_or("").trim();
    Ok(if last.is_empty() { "input".into() } else { last.into() })
}

fn read(name: &str, bytes: &[u8], limits: &Limits) -> Result<Inputs> {
    let targets = msa::parse(name, bytes, &limits.msa()).map_err(|error| match error {
        msa::Error::Limit { .. } => Problem::new(Code::TooLong, error.to_string()),
        _ => Problem::new(Code::BadInput, error.to_string()),
    })?;
    let mut inputs = Inputs { jobs: Vec::new(), notes: Vec::new() };
    for target in targets {
        inputs.notes.extend(target.notes.iter().map(|note| format!("{}: {}", note.place, note.change)));
        let alignment =
            target.msa.as_ref().map(|msa| String::from_utf8_lossy(&crate::accept::a3m(msa)).into_owned());
        inputs.jobs.push(NewJob {
            name: Some(target.name),
            sequence: Some(target.sequence),
            alignment,
            reuse: true,
            ..NewJob::default()
        });
    }
    Ok(inputs)
}
