//! Input files of any kind, as bodies for `POST /v1/jobs`.

use super::parameters::Query;
use crate::accept::a3m;
use crate::app::Server;
use crate::body::{Encoding, receive, unpack};
use crate::caller::Caller;
use crate::code::Code;
use crate::limits::Limits;
use crate::problem::{Problem, Result};
use crate::shapes::{Inputs, NewJob, NewOptions, NewTemplate, NewWebhook};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use jobfile::{Alignment, Content, Monomer, Place};
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
    // The ending tells the format, and that of a packed file is beneath.
    let name = [".gz", ".zst", ".zstd"].iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(name);
    if jobfile::detect(name, bytes).is_some() {
        return job_file(name, bytes, limits);
    }
    let targets = msa::parse(name, bytes, &limits.msa()).map_err(|error| match error {
        msa::Error::Limit { .. } => Problem::new(Code::TooLong, error.to_string()),
        _ => Problem::new(Code::BadInput, error.to_string()),
    })?;
    let stockholm = bytes.trim_ascii_start().starts_with(b"# STOCKHOLM");
    let mut inputs = Inputs { jobs: Vec::new(), notes: Vec::new() };
    for target in targets {
        inputs.notes.extend(target.notes.iter().map(|note| format!("{}: {}", note.place, note.change)));
        let alignment = target.msa.as_ref().map(|msa| match stockholm {
            true => String::from_utf8_lossy(&a3m(msa)).into_owned(),
            // As it is: the parser's own form does not know which residues were inserted.
            false => String::from_utf8_lossy(bytes).into_owned(),
        });
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

fn bad(error: &jobfile::Error) -> Problem {
    let code = match error {
        jobfile::Error::Limit { .. } => Code::TooLong,
        _ => Code::BadInput,
    };
    Problem::new(code, error.to_string())
}

fn job_file(name: &str, bytes: &[u8], limits: &Limits) -> Result<Inputs> {
    let bounds = jobfile::Limits {
        bytes: limits.body as u64,
        entries: limits.batch,
        residues: limits.residues,
        seeds: limits.num_seeds as usize,
        ..jobfile::Limits::default()
    };
    let mut inputs = Inputs { jobs: Vec::new(), notes: Vec::new() };
    for request in jobfile::read(name, bytes, &bounds).map_err(|error| bad(&error))? {
        let monomer = request.monomer().map_err(|error| bad(&error))?;
        inputs.notes.extend(monomer.notes.iter().map(ToString::to_string));
        inputs.jobs.push(new_job(monomer, &mut inputs.notes)?);
    }
    Ok(inputs)
}

/// A server opens no files of its own because a client names them.
fn no_path(place: &Place, path: &str) -> Problem {
    let path: String = path.chars().take(80).filter(|c| !c.is_control()).collect();
    Problem::new(Code::BadInput, format!("{place}: expected the content of a file, found the path `{path}`"))
}

fn new_job(monomer: Monomer, notes: &mut Vec<String>) -> Result<NewJob> {
    let alignment = match monomer.alignment {
        Alignment::None | Alignment::Empty => None,
        Alignment::Text(text) => Some(text),
        Alignment::Path(path) => return Err(no_path(&monomer.place, &path)),
    };
    let mut templates = Vec::new();
    for template in monomer.templates {
        let structure = match template.structure {
            Content::Text(text) => text,
            Content::Path(path) => return Err(no_path(&template.place, &path)),
        };
        if template.mapping.is_some() {
            notes.push(format!("{}: the template's mapping is not used, it is aligned anew", template.place));
        }
        let name = Some(template.name).filter(|name| !name.is_empty());
        templates.push(NewTemplate { name, structure, chain: template.chain });
    }
    let told = monomer.options;
    let webhook = told.webhook.map(|hook| match hook.secret {
        Some(secret) => Ok(NewWebhook { url: hook.url, secret }),
        None => {
            let detail = format!("{}: expected a webhook with a secret, found none", monomer.place);
            Err(Problem::new(Code::BadInput, detail))
        }
    });
    let usual = NewOptions::default();
    let options = NewOptions {
        model: told.model.unwrap_or(usual.model),
        recycles: told.recycles,
        recycle_tolerance: told.recycle_tolerance.unwrap_or(usual.recycle_tolerance),
        seed: monomer.seeds.map_or(usual.seed, |seeds| seeds.first),
        num_seeds: monomer.seeds.map_or(usual.num_seeds, |seeds| seeds.count),
        max_msa: told.max_msa,
    };
    Ok(NewJob {
        name: Some(monomer.name).filter(|name| !name.is_empty()),
        sequence: Some(monomer.sequence).filter(|sequence| !sequence.is_empty()),
        alignment,
        templates,
        options,
        priority: told.priority.unwrap_or(0),
        max_attempts: told.max_attempts,
        webhook: webhook.transpose()?,
        reuse: told.reuse.unwrap_or(true),
    })
}
