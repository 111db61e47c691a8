//! Query parameters and headers, with errors of ours.

use crate::code::Code;
use crate::problem::{Problem, Result};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use serde::de::DeserializeOwned;

/// Query parameters as a `T`; unknown and repeated ones are refused.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| Problem::new(Code::BadParameter, error.body_text()))
    }
}

/// A segment of the path; one that is no text stands for nothing.
pub(crate) struct Path(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let unknown = |_| Problem::new(Code::NotFound, "expected the id of a job, found another");
        path.map(|path| Self(path.0)).map_err(unknown)
    }
}

/// A parameter that must lie within bounds.
pub(crate) fn within(name: &str, value: u64, least: u64, most: u64) -> Result<u64> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Problem::new(Code::BadParameter, format!("{name}: expected {least} to {most}, found {value}")))
}

fn is_key(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The idempotency key, if there is one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let name = HeaderName::from_static("idempotency-key");
    let mut values = headers.get_all(&name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if is_key(text) && values.next().is_none() => Ok(Some(text.to_owned())),
        _ => {
            let detail = "Idempotency-Key: expected one of 1 to 255 visible characters, found another";
            Err(Problem::new(Code::BadHeader, detail))
        }
    }
}
