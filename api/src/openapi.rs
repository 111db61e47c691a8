//! The description of the routes: OpenAPI 3.1, made from the code.
//!
//! The routes say what they answer when all goes well. Which errors each has is one table here, so that every status a
//! client can see is described, and described once.

use crate::code::Code::{self, *};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// Errors of routes that have a body.
const BODY: &[Code] =
    &[BadJson, BadBody, BodyTimeout, BodyTooLarge, UnsupportedType, UnsupportedEncoding, ServerBusy];
/// Errors of routes that accept jobs.
const ACCEPT: &[Code] = &[
    BadForm,
    BadHeader,
    BadField,
    BadSequence,
    BadAlignment,
    BadTemplate,
    BadWebhook,
    TooLong,
    UnknownModel,
    KeyReused,
    Quota,
    EngineStarting,
    DiskLow,
    DiskFull,
];
/// Errors of routes whose body is of any type.
const RAW: &[Code] = &[BadBody, BodyTimeout, BodyTooLarge, UnsupportedEncoding, ServerBusy];
/// Errors of routes that fold a bare sequence.
const SEQUENCE: &[Code] = &[
    SequenceTooLong,
    BadSequence,
    TooLong,
    Quota,
    EngineStarting,
    DiskLow,
    DiskFull,
    NoResult,
    JobFailed,
    WaitedTooLong,
];
/// Errors of routes that ask who is there.
const CALLER: &[Code] = &[Unauthorized, RateLimited];
/// Errors of all routes.
const ANY: &[Code] = &[Internal, StoreBusy, Closing];

/// Each route with its errors, beside those of [`ANY`].
const ERRORS: &[(&str, &[&[Code]])] = &[
    ("submit_job", &[CALLER, BODY, ACCEPT]),
    ("submit_batch", &[CALLER, BODY, ACCEPT]),
    ("list_jobs", &[CALLER, &[BadParameter]]),
    ("read_job", &[CALLER, &[BadParameter, NotFound]]),
    ("cancel_job", &[CALLER, &[NotFound]]),
    ("follow_job", &[CALLER, &[BadHeader, NotFound, Expired]]),
    (
        "read_result",
        &[
            CALLER,
            &[BadParameter, BadHeader, NotFound, NotAcceptable, NotFinished, NoResult, Expired, BadRange],
        ],
    ),
    ("read_file", &[CALLER, &[NotFound, NotFinished, NoResult, Expired, BadRange]]),
    ("read_input", &[CALLER, &[NotFound, Expired]]),
    ("read_alignment", &[CALLER, &[NotFound, Expired, BadRange]]),
    ("read_engine", &[CALLER, &[EngineStarting]]),
    ("read_inputs", &[CALLER, RAW, &[BadParameter, BadInput, TooLong]]),
    ("live", &[]),
    ("ready", &[&[EngineStarting, DiskLow, DiskFull]]),
    ("nim_predict", &[CALLER, BODY, ACCEPT, &[NoResult, WaitedTooLong]]),
    ("nim_ready", &[&[EngineStarting, DiskLow, DiskFull]]),
    ("esm_fold_pdb", &[CALLER, RAW, SEQUENCE]),
    ("esm_fold_cif", &[CALLER, RAW, SEQUENCE]),
    ("metrics", &[CALLER, &[Forbidden]]),
];

/// The description that is served, as a value.
pub fn document() -> Value {
    finish(crate::router::described().split_for_parts().1)
}

pub(crate) fn text(described: OpenApi) -> String {
    finish(described).to_string()
}

fn finish(described: OpenApi) -> Value {
    let mut document = serde_json::to_value(described).expect("a description is JSON");
    document["info"] = json!({
        "title": "Foldry",
        "version": "1",
        "description": "Protein structures from sequences: jobs, their events and their results.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    document["tags"] = json!([
        {"name": "jobs", "description": "Accepting, following and cancelling jobs."},
        {"name": "results", "description": "What jobs made."},
        {"name": "server", "description": "What folds here, and how the server is."},
        {"name": "drop-in", "description": "Routes of other services, for their clients."},
    ]);
    // Both, since a server without keys asks for none.
    document["security"] = json!([{}, {"api_key": []}]);
    document["components"]["securitySchemes"]["api_key"] =
        json!({"type": "http", "scheme": "bearer", "description": "`foldry_ID.SECRET`"});
    let problem = <crate::problem::ProblemBody as utoipa::PartialSchema>::schema();
    document["components"]["schemas"]["Problem"] = serde_json::to_value(problem).expect("a schema is JSON");
    // One of both, and not null. Said in the negative, since generators of clients take `anyOf` for other types.
    let none = |name: &str| json!({"not": {"required": [name], "properties": {name: {"type": "string"}}}});
    document["components"]["schemas"]["NewJob"]["not"] =
        json!({"allOf": [none("sequence"), none("alignment")]});
    for path in ["/foldSequence/v1/pdb/", "/foldSequence/v1/cif/"] {
        let pattern =
            document["components"]["schemas"]["NewJob"]["properties"]["sequence"]["pattern"].clone();
        document["paths"][path]["post"]["requestBody"]["content"]["text/plain"]["schema"]["pattern"] =
            pattern;
    }
    let file =
        &mut document["paths"]["/v1/inputs"]["post"]["requestBody"]["content"]["application/octet-stream"];
    file["schema"]["minLength"] = 1.into();
    for item in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            describe_errors(operation);
            describe_parameters(operation);
        }
    }
    document
}

fn describe_errors(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or("").to_owned();
    let lists = ERRORS.iter().find(|(name, _)| *name == id).map_or(&[][..], |(_, lists)| lists);
    let mut codes: Vec<Code> = lists.iter().copied().flatten().chain(ANY).copied().collect();
    codes.sort();
    codes.dedup();
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for code in codes {
        let status = code.status();
        let response = responses.entry(status.as_str()).or_insert_with(|| {
            let mut response = json!({
                "description": "",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            });
            if matches!(status.as_u16(), 429 | 503 | 507) {
                response["headers"]["Retry-After"] =
                    json!({"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}});
            }
            response
        });
        let before = response["description"].as_str().unwrap_or("").to_owned();
        let comma = if before.is_empty() { "" } else { " " };
        response["description"] = format!("{before}{comma}`{}`: {}.", code.as_str(), code.title()).into();
    }
}

/// A parameter that is not given is not there; it cannot be null.
fn describe_parameters(operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let kind = &mut parameter["schema"]["type"];
        if let Some(kinds) = kind.as_array_mut() {
            kinds.retain(|kind| kind != "null");
            if let [one] = &kinds[..] {
                *kind = one.clone();
            }
        }
        if parameter["name"] == "Idempotency-Key" {
            parameter["schema"]["pattern"] = "^[!-~]{1,255}$".into();
            parameter["schema"]["example"] = "order-17".into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_its_errors_and_examples_have_their_types() {
        let document = document();
        let mut ids = Vec::new();
        for operation in document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
        {
            ids.push(operation["operationId"].as_str().unwrap().to_owned());
            assert!(operation["responses"]["500"].is_object());
            assert!(!operation["summary"].as_str().unwrap().is_empty());
            assert!(operation.get("parameters").is_none_or(Value::is_array));
        }
        ids.sort();
        let mut known: Vec<_> = ERRORS.iter().map(|(id, _)| id.to_string()).collect();
        known.sort();
        assert_eq!(ids, known);
        assert_eq!(document["openapi"], "3.1.0");
    }
}
