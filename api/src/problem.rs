//! Errors as clients see them: `application/problem+json` (RFC 9457).
//!
//! A [`Problem`] becomes a response without a body that carries it; the outermost layer ([`render`]) writes the body,
//! since only it knows the request's id. Answers that axum makes itself get one there, too.

use crate::code::Code;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error on its way to a client.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) code: Code,
    pub(crate) detail: String,
    /// JSON pointer into the request's body.
    pub(crate) pointer: Option<String>,
    /// Seconds after which another try makes sense.
    pub(crate) retry_after: Option<u64>,
}

pub(crate) type Result<T> = std::result::Result<T, Problem>;

/// The body of every error (RFC 9457).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Always `about:blank`: the code says what it is.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    pub kind: String,
    /// The code in words.
    #[schema(example = "The sequence is not valid")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 422, minimum = 400, maximum = 599)]
    pub status: u16,
    /// Stable, for programs.
    #[schema(example = "bad_sequence")]
    pub code: String,
    /// What was expected and what was found.
    #[schema(example = "sequence:17: expected an amino-acid letter, found `1`")]
    pub detail: String,
    /// Where in the body, a JSON pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/sequence", nullable = false)]
    pub pointer: Option<String>,
    /// The request's id, as in the header `X-Request-Id` and in the server's log.
    pub request_id: String,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), pointer: None, retry_after: None }
    }

    pub(crate) fn at(self, pointer: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..self }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// A fault of ours: the log gets the cause, the client does not.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(error = %cause, "http.internal");
        Self::new(Code::Internal, "the server's log says more under this request's id")
    }

    /// Puts `prefix` before the pointer: the problem is in a part of the body.
    pub(crate) fn within(self, prefix: &str) -> Self {
        let pointer = self.pointer.as_deref().unwrap_or("");
        Self { pointer: Some(format!("{prefix}{pointer}")), ..self }
    }
}

impl From<jobs::Error> for Problem {
    fn from(error: jobs::Error) -> Self {
        match &error {
            jobs::Error::Unknown(_) => Self::new(Code::NotFound, error.to_string()),
            jobs::Error::KeyReused { .. } => Self::new(Code::KeyReused, error.to_string()),
            jobs::Error::Quota { .. } => Self::new(Code::Quota, error.to_string()).retry_after(30),
            jobs::Error::WeightQuota { retry_after, .. } => {
                let problem = Self::new(Code::Quota, error.to_string());
                Self { retry_after: retry_after.map(|wait| wait.as_secs() + 1), ..problem }
            }
            // Paths are the operator's business.
            jobs::Error::DiskFull(_) => {
                Self::new(Code::DiskFull, "expected free space, found none").retry_after(60)
            }
            jobs::Error::Busy(_) => {
                Self::new(Code::StoreBusy, "the database is locked by another program").retry_after(5)
            }
            jobs::Error::Contended(_)
            | jobs::Error::Unavailable { .. }
            | jobs::Error::Untrusted { .. }
            | jobs::Error::Remote { .. } => {
                tracing::warn!(%error, "http.store");
                Self::new(Code::StoreBusy, "the store cannot be reached or is changed by others")
                    .retry_after(5)
            }
            jobs::Error::Uncertain { .. } => {
                tracing::warn!(%error, "http.store");
                let detail = "the connection to the store was lost: ask again, with the same Idempotency-Key if there was one";
                Self::new(Code::StoreBusy, detail).retry_after(1)
            }
            jobs::Error::Closed => Self::new(Code::Closing, "the job store is closed").retry_after(10),
            _ => Self::internal(error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if self.code == Code::Unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.code, Code::BodyTimeout | Code::BodyTooLarge) {
            // The rest of the body is not read.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives an error response its body; others are left as they are.
pub(crate) fn render(response: Response, request_id: &str) -> Response {
    let problem = match response.extensions().get::<Problem>() {
        Some(problem) => problem.clone(),
        None => match foreign(&response) {
            Some(problem) => problem,
            None => return response,
        },
    };
    let body = ProblemBody {
        kind: "about:blank".into(),
        title: problem.code.title().into(),
        status: response.status().as_u16(),
        code: problem.code.as_str().into(),
        detail: problem.detail,
        pointer: problem.pointer,
        request_id: request_id.into(),
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let json = serde_json::to_vec(&body).expect("strings and numbers are JSON");
    Response::from_parts(parts, Body::from(json))
}

/// Errors made below us, by axum's routing or a layer: they have no body worth keeping.
fn foreign(response: &Response) -> Option<Problem> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let written =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind != "text/plain; charset=utf-8");
    if written {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => {
            Problem::new(Code::NotFound, "expected a route of this server, found another path")
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(Code::MethodNotAllowed, "expected a method of the header `Allow`")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge, "the body is too large"),
        status if status.is_client_error() => {
            Problem::new(Code::BadBody, format!("the request is not valid: {status}"))
        }
        status => Problem::internal(status),
    })
}
