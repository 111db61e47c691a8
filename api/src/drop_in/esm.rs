//! ESMFold as the ESM Atlas offers it: a sequence in, a structure out.

use super::{file, fold};
use crate::app::Server;
use crate::body::receive;
use crate::caller::Caller;
use crate::code::Code;
use crate::problem::{Problem, Result};
use crate::routes::result::product;
use crate::shapes::NewJob;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jobs::State as JobState;
use std::sync::Arc;

/// Fold a sequence, as the ESM Atlas does (PDB)
#[utoipa::path(
    post,
    path = "/foldSequence/v1/pdb/",
    operation_id = "esm_fold_pdb",
    tag = "drop-in",
    request_body(content = String, content_type = "text/plain", description = "The sequence.", example = "MKVLAAGIVGLLLAQPSWA"),
    responses((status = 200, description = "PDB.", content_type = "text/plain", body = String))
)]
pub(crate) async fn pdb(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let text = structure(&server, &caller, &headers, body, "rank_001.pdb").await?;
    let scale = server.limits.esm_b_factor;
    Ok(plain(if scale == 1.0 { text } else { scaled(&text, scale).into_bytes() }))
}

/// Fold a sequence, as the ESM Atlas does (mmCIF)
#[utoipa::path(
    post,
    path = "/foldSequence/v1/cif/",
    operation_id = "esm_fold_cif",
    tag = "drop-in",
    request_body(content = String, content_type = "text/plain", description = "The sequence.", example = "MKVLAAGIVGLLLAQPSWA"),
    responses((status = 200, description = "mmCIF.", content_type = "text/plain", body = String))
)]
pub(crate) async fn cif(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    Ok(plain(structure(&server, &caller, &headers, body, "rank_001.cif").await?))
}

fn plain(text: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

async fn structure(
    server: &Server,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
    name: &str,
) -> Result<Vec<u8>> {
    let received = receive(server, headers, body).await?;
    let text = std::str::from_utf8(&received.bytes)
        .map_err(|_| Problem::new(Code::BadSequence, "sequence: expected text, found other bytes"))?;
    // `curl -d` calls it a form, whatever it is; some clients name the field.
    let sequence = text.trim().strip_prefix("sequence=").unwrap_or(text.trim()).to_owned();
    if sequence.len() > server.limits.esm_residues {
        let detail =
            format!("expected at most {} residues, found {}", server.limits.esm_residues, sequence.len());
        return Err(Problem::new(Code::SequenceTooLong, detail));
    }
    drop(received);
    let new = NewJob { name: Some("esm".into()), sequence: Some(sequence), reuse: true, ..NewJob::default() };
    // There is no body to point into.
    let job =
        fold(server, &caller.tenant, new).await.map_err(|problem| Problem { pointer: None, ..problem })?;
    if let (JobState::Failed, Some(reason)) = (job.state, &job.reason) {
        // What the folding child found in the input is the client's to mend.
        return Err(match reason.code.as_str() {
            "bad_input" => Problem::new(Code::BadSequence, reason.message.clone()),
            code => Problem::new(Code::JobFailed, format!("{code}: {}", reason.message)),
        });
    }
    file(server, &product(&job)?, name).await
}

/// Divides the B factors, columns 61 to 66.
fn scaled(pdb: &[u8], by: f32) -> String {
    let mut out = String::with_capacity(pdb.len());
    for line in String::from_utf8_lossy(pdb).lines() {
        let atom = line.starts_with("ATOM  ") || line.starts_with("HETATM");
        let factor = line.get(60..66).filter(|_| atom).and_then(|text| text.trim().parse::<f32>().ok());
        match factor {
            Some(factor) => {
                out.push_str(&line[..60]);
                out.push_str(&format!("{:>6.2}", factor / by));
                out.push_str(&line[66..]);
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_factors_are_divided_and_nothing_else_is() {
        let line = "ATOM      1  CA  ALA A   1       1.000   2.000   3.000  1.00 71.25           C  \n";
        let pdb = format!("{line}TER\n");
        assert_eq!(scaled(pdb.as_bytes(), 100.0), pdb.replace(" 71.25", "  0.71"));
    }
}
