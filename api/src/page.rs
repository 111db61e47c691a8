//! The page: packed files that are part of the program, as `web/dist/files.json` lists them.

use crate::code::Code;
use crate::problem::Problem;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

mod files {
    include!(concat!(env!("OUT_DIR"), "/page.rs"));
}

/// Nothing from elsewhere, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A line of the list.
#[derive(Deserialize)]
struct Listed {
    /// Where it is served.
    path: String,
    /// Its gzip'ed content in `web/dist`.
    file: String,
    #[serde(rename = "type")]
    kind: String,
    /// Of the content.
    sha256: String,
}

struct File {
    kind: HeaderValue,
    sha256: String,
    gzip: &'static [u8],
}

/// By path. Empty in a build without a page; a list that does not fit its files is a mistake of the build.
static PAGE: LazyLock<BTreeMap<String, File>> = LazyLock::new(|| {
    let find = |name: &str| files::FILES.iter().find(|(found, _)| *found == name).map(|(_, bytes)| *bytes);
    let list: Vec<Listed> = serde_json::from_slice(find("files.json").unwrap_or(b"[]")).unwrap_or_default();
    let file = |one: Listed| {
        let kind = HeaderValue::from_str(&one.kind).ok()?;
        Some((one.path, File { kind, sha256: one.sha256, gzip: find(&one.file)? }))
    };
    list.into_iter().filter_map(file).collect()
});

/// Everything that is no route: the page's files, and the page itself for its own addresses.
pub(crate) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let missing = || {
        Problem::new(Code::NotFound, "expected a route of this server, found another path").into_response()
    };
    if method != Method::GET && method != Method::HEAD {
        return missing();
    }
    let path = match uri.path() {
        "/" | "/jobs" => "/index.html",
        // One of its own addresses: `/jobs/{id}`.
        path if path.strip_prefix("/jobs/").is_some_and(|id| !id.is_empty() && !id.contains('/')) => {
            "/index.html"
        }
        path => path,
    };
    match PAGE.get(path) {
        Some(file) => send(file, &headers).unwrap_or_else(IntoResponse::into_response),
        None if path == "/index.html" => {
            "foldry serves its API here; this build has no page\n".into_response()
        }
        None => missing(),
    }
}

fn send(file: &File, headers: &HeaderMap) -> Result<Response, Problem> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or("");
    let packed = takes_gzip(text(header::ACCEPT_ENCODING));
    let tag = format!("\"{}{}\"", file.sha256, if packed { "" } else { "-plain" });
    let known = text(header::IF_NONE_MATCH);
    let mut response = if !known.is_empty() && crate::routes::read::matches(known, &tag) {
        axum::http::StatusCode::NOT_MODIFIED.into_response()
    } else if packed {
        file.gzip.into_response()
    } else {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(file.gzip).read_to_end(&mut plain).map_err(Problem::internal)?;
        plain.into_response()
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, file.kind.clone());
    out.insert(header::ETAG, HeaderValue::from_str(&tag).map_err(Problem::internal)?);
    // Names stay when contents change, so it is asked again, and mostly answered 304.
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if packed {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        matches!(parts.next(), Some("gzip" | "*")) && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jobs::Digest;

    #[test]
    fn the_list_fits_the_files() {
        for (name, _) in files::FILES {
            let listed =
                PAGE.values().any(|file| files::FILES.iter().any(|(n, b)| n == name && *b == file.gzip));
            assert!(listed || *name == "files.json", "{name} is not listed");
        }
        for (path, file) in PAGE.iter() {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(file.gzip).read_to_end(&mut plain).unwrap();
            assert_eq!(Digest::of(&plain).to_string(), file.sha256, "{path}");
        }
    }

    #[test]
    fn packed_files_go_to_those_who_take_them() {
        assert!(
            takes_gzip("gzip, deflate, br") && takes_gzip("br;q=1.0, *;q=0.1") && !takes_gzip("gzip;q=0, br")
        );
        assert!(!takes_gzip(""));
    }
}
