//! NVIDIA's NIM for OpenFold2. Models are this server's own: `selected_models` and `relax_prediction` are read and
//! change nothing, and the answer says what was done (one structure, not relaxed).

use super::{file, fold};
use crate::accept;
use crate::app::Server;
use crate::body::receive;
use crate::caller::Caller;
use crate::code::Code;
use crate::object::Object;
use crate::problem::{Problem, Result};
use crate::routes::health::check;
use crate::routes::result::product;
use crate::shapes::{NewJob, NewTemplate};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use jobs::State as JobState;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

const NO_ERROR: &str = "no-handled-error";

/// What NIM's clients send. Other keys are ignored, as there.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NimRequest {
    /// One chain.
    #[schema(
        pattern = r"^[A-Za-z \t\r\n.-]*[A-Za-z][A-Za-z \t\r\n.-]*[* \t\r\n.-]*$",
        example = "MKVLAAGIVGLLLAQPSWA"
    )]
    sequence: String,
    /// Comes back with the answer.
    #[schema(example = "x")]
    input_id: Option<String>,
    /// By database and format: `{"uniref90": {"a3m": {"alignment": "…", "format": "a3m"}}}`. Rows of all are used.
    #[schema(value_type = Option<BTreeMap<String, BTreeMap<String, NimAlignment>>>,
        example = json!({"uniref90": {"a3m": {"alignment": ">q\nMKVLAAGIVGLLLAQPSWA\n", "format": "a3m"}}}))]
    alignments: Option<BTreeMap<String, BTreeMap<String, Object<NimAlignment>>>>,
    /// Structures offered as templates.
    #[schema(value_type = Option<Vec<NimTemplate>>)]
    explicit_templates: Option<Vec<Object<NimTemplate>>>,
    /// Whether templates are used at all.
    use_templates: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NimAlignment {
    /// A3M.
    alignment: String,
}

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct NimTemplate {
    /// mmCIF or PDB.
    #[schema(example = "ATOM      1  CA  ALA A   1       1.000   2.000   3.000  1.00  0.00           C  \n")]
    structure: String,
    /// For people.
    name: Option<String>,
}

/// What NIM's clients get.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NimResponse {
    /// As in the request.
    input_id: Option<String>,
    /// Nothing is measured.
    #[schema(value_type = Object)]
    metrics: Value,
    /// `no-handled-error`, or why there is no structure.
    #[schema(example = "no-handled-error")]
    of2_nim_handled_error_message: String,
    /// The best first.
    structures_in_ranked_order: Vec<NimStructure>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NimStructure {
    /// PDB.
    structure: String,
    #[schema(example = "pdb")]
    format: &'static str,
    /// Mean pLDDT, 0–100.
    confidence: f64,
    /// Of each residue.
    plddt: Vec<Option<f32>>,
    /// Å, of models that have it.
    predicted_aligned_error: Option<Vec<Vec<Option<f32>>>>,
    max_predicted_aligned_error: Option<f32>,
    ptm_score: Option<f64>,
    /// This server's models have names; this is always 1.
    model_param_set: u32,
    relaxed: bool,
    rank_by_confidence: u32,
}

/// Fold a sequence, as NIM's OpenFold2 does
#[utoipa::path(
    post,
    path = "/biology/openfold/openfold2/predict-structure-from-msa-and-template",
    operation_id = "nim_predict",
    tag = "drop-in",
    request_body(content = NimRequest, description = "As NIM takes it."),
    responses((status = 200, description = "As NIM gives it.", body = NimResponse))
)]
pub(crate) async fn predict(
    State(server): State<Arc<Server>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<NimResponse>> {
    let received = receive(&server, &headers, body).await?;
    let (request, mut received) =
        accept::json_of::<NimRequest>(&server, received, "application/json").await?;
    let input_id = request.input_id.clone();
    let new = server.parse(move || new_job(request)).await?;
    let job = fold(&server, &caller.tenant, new).await?;
    let mut answer = NimResponse {
        input_id,
        metrics: json!({}),
        of2_nim_handled_error_message: NO_ERROR.into(),
        structures_in_ranked_order: Vec::new(),
    };
    if let (JobState::Failed, Some(reason)) = (job.state, &job.reason) {
        answer.of2_nim_handled_error_message = format!("{}: {}", reason.code, reason.message);
        return Ok(Json(answer));
    }
    let product = product(&job)?;
    // Errors grow with the square of the length: they count as what they take here.
    received.keep(product.files.iter().map(|item| item.bytes as usize).sum())?;
    for ranked in &product.ranking {
        let stem = format!("rank_{:03}", ranked.rank);
        let scores: Scores = json_file(&file(&server, &product, &format!("{stem}.scores.json")).await?)?;
        let pae = match product.file(&format!("{stem}.pae.json")) {
            Some(item) => Some(pae(&file(&server, &product, &item.name).await?)?),
            None => None,
        };
        let pdb = file(&server, &product, &format!("{stem}.pdb")).await?;
        answer.structures_in_ranked_order.push(NimStructure {
            structure: String::from_utf8(pdb).map_err(Problem::internal)?,
            format: "pdb",
            confidence: ranked.mean_plddt,
            plddt: scores.plddt,
            max_predicted_aligned_error: pae.as_ref().and_then(|pae| pae.max_predicted_aligned_error),
            predicted_aligned_error: pae.map(|pae| pae.predicted_aligned_error),
            ptm_score: ranked.ptm,
            model_param_set: 1,
            relaxed: false,
            rank_by_confidence: ranked.rank,
        });
    }
    Ok(Json(answer))
}

/// Whether the server can accept jobs, as NIM says it
#[utoipa::path(get, path = "/v1/health/ready", operation_id = "nim_ready", tag = "drop-in",
    responses((status = 200, description = "`true`.", body = bool, content_type = "application/json")))]
pub(crate) async fn ready(State(server): State<Arc<Server>>) -> Result<Json<bool>> {
    check(&server).await?;
    Ok(Json(true))
}

#[derive(Deserialize)]
struct Scores {
    plddt: Vec<Option<f32>>,
}

#[derive(Deserialize)]
struct Pae {
    predicted_aligned_error: Vec<Vec<Option<f32>>>,
    max_predicted_aligned_error: Option<f32>,
}

/// AlphaFold-DB's form, a list of one.
fn pae(bytes: &[u8]) -> Result<Pae> {
    json_file::<Vec<Pae>>(bytes)?.pop().ok_or_else(|| Problem::internal("the errors are an empty list"))
}

fn json_file<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(Problem::internal)
}

fn new_job(request: NimRequest) -> Result<NewJob> {
    let mut alignment = String::new();
    for (format, found) in request.alignments.iter().flatten().flat_map(|(_, formats)| formats) {
        if format != "a3m" && format != "fasta" {
            let detail = format!(
                "alignments: expected format a3m, found {:?}",
                format.chars().take(20).collect::<String>()
            );
            return Err(Problem::new(Code::BadAlignment, detail).at("/alignments"));
        }
        let text = &found.0.alignment;
        alignment.push_str(if alignment.is_empty() { text } else { without_query(text) });
        if !alignment.ends_with('\n') {
            alignment.push('\n');
        }
    }
    let templates =
        request.explicit_templates.filter(|_| request.use_templates != Some(false)).unwrap_or_default();
    let template = |Object(one): Object<NimTemplate>| NewTemplate {
        name: one.name,
        structure: one.structure,
        chain: None,
    };
    let name = request.input_id.filter(|id| !id.is_empty()).unwrap_or_else(|| "nim".into());
    Ok(NewJob {
        name: Some(name.chars().take(100).collect()),
        sequence: Some(request.sequence),
        alignment: Some(alignment).filter(|text| !text.trim().is_empty()),
        templates: templates.into_iter().map(template).collect(),
        reuse: true,
        ..NewJob::default()
    })
}

/// The rows behind the first.
fn without_query(a3m: &str) -> &str {
    let first = a3m.find('>').map_or(a3m.len(), |at| at + 1);
    a3m[first..].find("\n>").map_or("", |at| &a3m[first + at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments_of_several_databases_are_one() {
        let a3m = |text: &str| json!({"a3m": {"alignment": text, "format": "a3m"}});
        let request = json!({"sequence": "MKV", "relax_prediction": true,
            "alignments": {"bfd": a3m(">q\nMKV\n>a\nM-V"), "uniref90": a3m(">q\nMKV\n>b\nMK-\n>c\nMKK\n")}});
        let job = new_job(serde_json::from_value(request).unwrap()).unwrap();
        assert_eq!(job.alignment.unwrap(), ">q\nMKV\n>a\nM-V\n>b\nMK-\n>c\nMKK\n");
        assert_eq!(without_query(">q\nMKV"), "");
    }
}
