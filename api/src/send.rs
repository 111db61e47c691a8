//! Sending under an ETag: a blob, whole or in part, under its sha256, or what was made for the answer.

use crate::app::Server;
use crate::code::Code;
use crate::problem::{Problem, Result};
use crate::range::{Part, part};
use crate::routes::read::matches;
use crate::stream::{self, Gone, Sink};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jobs::{Digest, Parts};

/// Up to this size a blob is read and its sha256 compared before anything is sent.
const VERIFIED: u64 = 4 << 20;

/// A blob that is to be sent.
pub(crate) struct Blob<'a> {
    pub(crate) sha256: &'a str,
    pub(crate) bytes: u64,
    /// What it is.
    pub(crate) kind: &'static str,
    /// The name it is saved under.
    pub(crate) name: String,
}

/// Answers with the blob, as the request's conditions and range ask.
pub(crate) async fn send(server: &Server, headers: &HeaderMap, blob: Blob<'_>) -> Result<Response> {
    let digest: Digest = blob.sha256.parse().map_err(Problem::internal)?;
    let tag = format!("\"{digest}\"");
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let value = |text: &str| HeaderValue::from_str(text).map_err(Problem::internal);
    // A part of a JSON text is no JSON: that comes whole.
    let divisible = !blob.kind.starts_with("application/json");
    let common = [
        (header::ETAG, value(&tag)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::ACCEPT_RANGES, HeaderValue::from_static(if divisible { "bytes" } else { "none" })),
    ];
    if text(header::IF_NONE_MATCH).is_some_and(|known| matches(known, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    // A range of another version of the file is of no use.
    let range = text(header::RANGE)
        .filter(|_| divisible)
        .filter(|_| text(header::IF_RANGE).is_none_or(|known| known == tag));
    let (status, first, last) = match part(range, blob.bytes) {
        Part::Whole => (StatusCode::OK, 0, blob.bytes.checked_sub(1)),
        Part::Bytes(first, last) => (StatusCode::PARTIAL_CONTENT, first, Some(last)),
        Part::Outside => {
            let detail = format!("expected a part of {} bytes, found another range", blob.bytes);
            let mut response = Problem::new(Code::BadRange, detail).into_response();
            response.headers_mut().insert(header::CONTENT_RANGE, value(&format!("bytes */{}", blob.bytes))?);
            return Ok(response);
        }
    };
    let length = last.map_or(0, |last| last - first + 1);
    let body = if length == blob.bytes && blob.bytes <= VERIFIED {
        Body::from(server.blobs.get(digest).await?)
    } else {
        // Opened here, so that one that is not there is told.
        let parts = server.blobs.parts(digest, first..first + length).await?;
        stream::body(move |sink| async move {
            // `Gone` needs no answer.
            let _ = copy(parts, &sink).await;
        })
    };
    let mut response = (status, common, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(blob.kind));
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::CONTENT_DISPOSITION, value(&format!("inline; filename=\"{}\"", blob.name))?);
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{}", first + length - 1, blob.bytes);
        headers.insert(header::CONTENT_RANGE, value(&range)?);
    }
    Ok(response)
}

async fn copy(mut parts: Parts, sink: &Sink) -> std::result::Result<(), Gone> {
    loop {
        match parts.next().await {
            Ok(Some(part)) => sink.send(part).await?,
            Ok(None) => return Ok(()),
            Err(error) => {
                sink.fail(error).await;
                return Ok(());
            }
        }
    }
}

/// Answers with a body of this kind, or 304 if the tag is known.
pub(crate) fn tagged(
    headers: &HeaderMap,
    tag: &str,
    kind: &'static str,
    body: impl FnOnce() -> Response,
) -> Result<Response> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let mut response = if known.is_some_and(|known| matches(known, tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = body();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    };
    let tag = HeaderValue::from_str(tag).map_err(Problem::internal)?;
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}
