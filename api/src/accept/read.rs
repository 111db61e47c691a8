//! Bodies as jobs: JSON, or a form with files.

use crate::app::Server;
use crate::body::{Received, receive};
use crate::code::Code;
use crate::object::Object;
use crate::problem::{Problem, Result};
use crate::shapes::{NewBatch, NewJob, NewOptions, NewTemplate};
use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// A job from a body, and the body's memory until it is dropped.
pub(crate) async fn new_job(server: &Server, headers: &HeaderMap, body: Body) -> Result<(NewJob, Received)> {
    let received = receive(server, headers, body).await?;
    if let Ok(boundary) = multer::parse_boundary(&received.kind) {
        let (job, received) = form(boundary, received).await?;
        return Ok((job, received));
    }
    json_of(server, received, "application/json or multipart/form-data").await
}

/// A batch from a body.
pub(crate) async fn new_batch(
    server: &Server,
    headers: &HeaderMap,
    body: Body,
) -> Result<(NewBatch, Received)> {
    let received = receive(server, headers, body).await?;
    json_of(server, received, "application/json").await
}

/// Any JSON body, away from the threads that answer requests: it may be long.
pub(crate) async fn json_of<T: DeserializeOwned + Send + 'static>(
    server: &Server,
    received: Received,
    expected: &'static str,
) -> Result<(T, Received)> {
    if !is_json(&received.kind) {
        let detail =
            format!("expected {expected}, found {:?}", received.kind.chars().take(80).collect::<String>());
        return Err(Problem::new(Code::UnsupportedType, detail));
    }
    server.parse(move || Ok((json(&received.bytes, "")?, received))).await
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    kind == "application/json"
}

/// JSON as a `T`; `within` points to where in the body it stands.
fn json<T: DeserializeOwned>(bytes: &[u8], within: &str) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value: Object<T> = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                let pointer = format!("{within}{}", unknown_key(&pointer, &inner.to_string()));
                let place = pointer.trim_start_matches('/').replace('/', ".");
                let place = if place.is_empty() { "body".into() } else { place };
                Problem::new(Code::BadField, format!("{place}: {inner}")).at(pointer)
            }
            _ => Problem::new(Code::BadJson, format!("expected JSON: {inner}")),
        }
    })?;
    reader.end().map_err(|error| Problem::new(Code::BadJson, format!("expected one JSON value: {error}")))?;
    Ok(value.0)
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut text = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("/{index}")),
            Segment::Map { key } => text.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    text
}

/// The path of an unknown key is that of its parent or its own, as the parser has come along: make it its own.
fn unknown_key(pointer: &str, message: &str) -> String {
    let Some(key) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) else {
        return pointer.into();
    };
    let own = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
    if pointer.ends_with(&own) { pointer.into() } else { format!("{pointer}{own}") }
}

async fn form(boundary: String, received: Received) -> Result<(NewJob, Received)> {
    let bytes = Bytes::copy_from_slice(&received.bytes);
    let job = multipart(boundary, bytes).await?;
    Ok((job, received))
}

/// A job from a form: `sequence`, `name`, `alignment` (file), `template` (files), `options` (JSON).
pub(crate) async fn multipart(boundary: String, bytes: Bytes) -> Result<NewJob> {
    let broken = |error: multer::Error| Problem::new(Code::BadForm, format!("expected a form: {error}"));
    let body = Body::from(bytes).into_data_stream();
    let mut parts = multer::Multipart::new(body, boundary);
    let mut job = NewJob::default();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        let field = part.name().unwrap_or("").to_owned();
        let file = part.file_name().map(str::to_owned);
        let pointer = format!("/{}", field.replace('~', "~0").replace('/', "~1"));
        let bytes = part.bytes().await.map_err(broken)?;
        let text = || {
            let not_text =
                |_| Problem::new(Code::BadField, format!("{field}: expected UTF-8, found other bytes"));
            String::from_utf8(bytes.to_vec()).map_err(|error| not_text(error).at(&*pointer))
        };
        let once = |given: bool| {
            let twice =
                || Problem::new(Code::BadField, format!("{field}: expected once, found twice")).at(&*pointer);
            if given { Err(twice()) } else { Ok(()) }
        };
        match field.as_str() {
            "name" => {
                once(job.name.is_some())?;
                job.name = Some(text()?);
            }
            "sequence" => {
                once(job.sequence.is_some())?;
                job.sequence = Some(text()?);
            }
            "alignment" => {
                once(job.alignment.is_some())?;
                job.alignment = Some(text()?);
            }
            "template" => job.templates.push(NewTemplate { name: file, structure: text()?, chain: None }),
            "options" => job.options = json::<NewOptions>(&bytes, "/options")?,
            _ => {
                let found: String = field.chars().take(80).collect();
                let detail =
                    format!("expected name, sequence, alignment, template or options, found part {found:?}");
                return Err(Problem::new(Code::BadField, detail));
            }
        }
    }
    Ok(NewJob { reuse: true, ..job })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_point_to_their_place() {
        let at = |text: &str| {
            let problem = json::<NewJob>(text.as_bytes(), "").unwrap_err();
            (problem.code.as_str(), problem.pointer.unwrap_or_default())
        };
        assert_eq!(at("{"), ("bad_json", String::new()));
        assert_eq!(at("{} {}"), ("bad_json", String::new()));
        assert_eq!(at(r#"{"sequenze": "M"}"#), ("bad_field", "/sequenze".into()));
        assert_eq!(at(r#"{"options": {"seed": -1}}"#), ("bad_field", "/options/seed".into()));
        assert_eq!(at(r#"{"options": {"sed": 1}}"#), ("bad_field", "/options/sed".into()));
        assert_eq!(
            at(r#"{"templates": [{"structure": "x"}, {"name": "y"}]}"#),
            ("bad_field", "/templates/1".into())
        );
        assert_eq!(at(r#"{"a/b~": 1}"#), ("bad_field", "/a~1b~0".into()));
        assert_eq!(at(r#"[]"#), ("bad_field", String::new()));
        assert_eq!(at(r#"{"options": []}"#), ("bad_field", "/options".into()));
        assert_eq!(at(r#"{"templates": [["x", "y"]]}"#), ("bad_field", "/templates/0".into()));
    }
}
