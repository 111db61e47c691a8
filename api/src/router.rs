//! All routes, and what surrounds each of them.

use crate::app::{App, Server};
use crate::drop_in::{esm, nim};
use crate::openapi;
use crate::page::page;
use crate::problem::{Problem, render};
use crate::routes::{engine, events, health, input, inputs, jobs, read, result};
use crate::trace::Trace;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use spans::Spans;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The routes of a server, ready to be served.
/// # Panics  outside of a tokio runtime, and if an origin of the limits is no header value.
pub fn router(app: App) -> Router {
    let server = Server::new(app);
    let (cors, spans) = (cors(&server.limits.origins), server.spans.clone());
    let (router, described) = described().split_for_parts();
    let document = openapi::text(described);
    let document = move || async move { ([(header::CONTENT_TYPE, "application/json")], document) };
    router
        .route("/openapi.json", axum::routing::get(document))
        .with_state(server)
        .fallback(page)
        .layer(cors)
        .layer(CatchPanicLayer::custom(|panic: Box<dyn std::any::Any + Send>| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            Problem::internal(text).into_response()
        }))
        .layer(from_fn_with_state(spans, around))
}

/// The routes with their descriptions.
pub(crate) fn described() -> OpenApiRouter<Arc<Server>> {
    OpenApiRouter::new()
        .routes(routes!(jobs::submit, read::list))
        .routes(routes!(jobs::submit_batch))
        .routes(routes!(read::read, jobs::cancel))
        .routes(routes!(events::events))
        .routes(routes!(result::result))
        .routes(routes!(result::file))
        .routes(routes!(input::input))
        .routes(routes!(input::alignment))
        .routes(routes!(engine::engine))
        .routes(routes!(inputs::inputs))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(nim::predict))
        .routes(routes!(nim::ready))
        .routes(routes!(esm::pdb))
        .routes(routes!(esm::cif))
}

/// Ids in and out, errors' bodies, headers for browsers, a line in the log, and a span.
async fn around(State(spans): State<Spans>, request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_plain(id));
    let id = given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned);
    let (began, method) = (Instant::now(), request.method().clone());
    // The route, not the address: ids are of interest to nobody, and queries could hold anything.
    let route =
        request.extensions().get::<MatchedPath>().map_or("none".to_owned(), |path| path.as_str().to_owned());
    let trace = Trace::begin(&spans, &request, &route, &id);
    let span = tracing::info_span!("http", request_id = id);
    let response = next.run(request).instrument(span.clone()).await;
    let _in = span.enter();
    let code = response.extensions().get::<Problem>().map(|problem| problem.code.as_str());
    let mut response = render(response, &id);
    let (status, ms) = (response.status().as_u16(), began.elapsed().as_secs_f64() * 1e3);
    tracing::info!(%method, route, status, code, ms, "http.done");
    trace.end(&response, code);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Nothing of ours but its own page needs a browser's powers.
    let strict = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(strict);
    response
}

fn is_plain(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Other origins may use the server only if they are named.
fn cors(origins: &[String]) -> CorsLayer {
    if origins.is_empty() {
        return CorsLayer::new();
    }
    let origins =
        origins.iter().map(|origin| HeaderValue::from_str(origin).expect("an origin is a header value"));
    let names =
        |names: &[&'static str]| names.iter().map(|name| HeaderName::from_static(name)).collect::<Vec<_>>();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(names(&[
            "authorization",
            "content-type",
            "content-encoding",
            "idempotency-key",
            "if-none-match",
            "last-event-id",
            "range",
            "x-request-id",
        ]))
        .expose_headers(names(&[
            "etag",
            "location",
            "retry-after",
            "x-request-id",
            "content-range",
            "idempotency-replayed",
        ]))
        .max_age(Duration::from_secs(3600))
}
