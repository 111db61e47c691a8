//! A span of each request: what a log line says of it, for an OpenTelemetry collector.
//! Names are those of OpenTelemetry's conventions, or begin with `foldry.`.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use spans::{Context, Kind, Span, Spans};

pub(crate) struct Trace(Span);

impl Trace {
    /// Begins it, in the trace that the request belongs to, if it says so. `route` is the template: the address could
    /// hold anything.
    pub(crate) fn begin(spans: &Spans, request: &Request, route: &str, id: &str) -> Self {
        let method = method(request.method());
        let mut span = spans.begin(format!("{method} {route}"), Kind::Server, parent(request.headers()));
        span.set("http.request.method", method);
        span.set("http.route", route);
        span.set("foldry.request_id", id);
        Self(span)
    }

    /// Ends it, when the head of the answer is there: event streams may go on for hours.
    pub(crate) fn end(self, response: &Response, code: Option<&str>) {
        let Self(mut span) = self;
        span.set("http.response.status_code", i64::from(response.status().as_u16()));
        let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        if let Some(job) = location.and_then(|to| to.strip_prefix("/v1/jobs/")) {
            span.set("foldry.job.id", job);
        }
        if let Some(code) = code {
            span.set("error.type", code);
        }
        if response.status().is_server_error() {
            span.fail();
        }
        span.end();
    }
}

/// One that clients may send without it being an idea of their own.
fn method(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::POST,
        Method::DELETE,
        Method::PUT,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
        Method::CONNECT,
        Method::TRACE,
    ];
    if known.contains(method) { method.as_str() } else { "_OTHER" }
}

/// Two of them are none, as the standard asks.
fn parent(headers: &HeaderMap) -> Option<Context> {
    let mut all = headers.get_all("traceparent").iter();
    let (first, more) = (all.next()?, all.next());
    Context::parse(first.to_str().ok().filter(|_| more.is_none())?)
}
