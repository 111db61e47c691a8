//! The page: files that are part of the program, most of them packed.
//!
//! A file is found by its name or packed as `.br` or `.gz`; whoever takes neither gets it unpacked. Names under `assets/`
//! hold a hash of the content, so they are kept for ever; everything else is asked for again.

use crate::code::Code;
use crate::problem::Problem;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jobs::Digest;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

mod files {
    include!(concat!(env!("OUT_DIR"), "/page.rs"));
}

/// Nothing from elsewhere, no inline script. Workers may be made of blobs and WebAssembly may be compiled: the viewer
/// does both. Styles may be inline, since the viewer sets them.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; worker-src 'self' blob:; \
    frame-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file in the forms it has.
#[derive(Default)]
struct Forms {
    plain: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
    tag: String,
}

static PAGE: LazyLock<BTreeMap<&str, Forms>> = LazyLock::new(|| {
    let mut page = BTreeMap::<&str, Forms>::new();
    for &(name, bytes) in files::FILES {
        let (name, gzip, brotli) = match (name.strip_suffix(".gz"), name.strip_suffix(".br")) {
            (Some(name), _) => (name, true, false),
            (None, Some(name)) => (name, false, true),
            (None, None) => (name, false, false),
        };
        let forms = page.entry(name).or_default();
        let form = match (gzip, brotli) {
            (true, _) => &mut forms.gzip,
            (_, true) => &mut forms.brotli,
            _ => &mut forms.plain,
        };
        *form = Some(bytes);
    }
    for forms in page.values_mut() {
        let any = forms.plain.or(forms.gzip).or(forms.brotli).unwrap_or_default();
        forms.tag = Digest::of(any).to_string()[..32].to_owned();
    }
    page
});

/// Everything that is no route: the page's files, and the page itself for its own addresses.
pub(crate) async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let missing = || {
        Problem::new(Code::NotFound, "expected a route of this server, found another path").into_response()
    };
    if method != Method::GET && method != Method::HEAD {
        return missing();
    }
    let name = match uri.path().trim_start_matches('/') {
        "" | "jobs" => "index.html",
        // One of its own addresses: `/jobs/{id}`.
        path if path.strip_prefix("jobs/").is_some_and(|id| !id.is_empty() && !id.contains('/')) => {
            "index.html"
        }
        path => path,
    };
    match PAGE.get_key_value(name) {
        Some((name, forms)) => send(name, forms, &headers).unwrap_or_else(IntoResponse::into_response),
        None if name == "index.html" => {
            (StatusCode::OK, "foldry serves its API here; this build has no page\n").into_response()
        }
        None => missing(),
    }
}

fn send(name: &str, forms: &Forms, headers: &HeaderMap) -> Result<Response, Problem> {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let takes = |coding: &str| {
        accepted.split(',').any(|one| {
            let mut parts = one.split(';').map(str::trim);
            parts.next() == Some(coding) && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
        })
    };
    let (encoding, body) = match forms {
        Forms { brotli: Some(bytes), .. } if takes("br") => (Some("br"), bytes.to_vec()),
        Forms { gzip: Some(bytes), .. } if takes("gzip") => (Some("gzip"), bytes.to_vec()),
        Forms { plain: Some(bytes), .. } => (None, bytes.to_vec()),
        Forms { gzip: Some(bytes), .. } => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(*bytes).read_to_end(&mut plain).map_err(Problem::internal)?;
            (None, plain)
        }
        // Whoever packed the page left this out.
        _ => return Err(Problem::new(Code::NotAcceptable, "expected `br` in `Accept-Encoding`, found none")),
    };
    let tag = format!("\"{}-{}\"", forms.tag, encoding.unwrap_or("plain"));
    let value = |text: &str| HeaderValue::from_str(text).map_err(Problem::internal);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let mut response = if known.is_some_and(|known| crate::routes::read::matches(known, &tag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        body.into_response()
    };
    let hashed = name.starts_with("assets/");
    let keep = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)));
    out.insert(header::ETAG, value(&tag)?);
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    out.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    out.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if let Some(encoding) = encoding {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Ok(response)
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
