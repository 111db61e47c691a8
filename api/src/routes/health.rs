//! Whether the server lives, whether it can accept jobs, and its numbers.

use crate::app::Server;
use crate::caller::Caller;
use crate::code::Code;
use crate::problem::{Problem, Result};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// How long the store may take to commit before it counts as busy.
const PATIENCE: Duration = Duration::from_secs(2);

/// A word that says how it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ready")]
    status: &'static str,
}

/// Whether the server lives
#[utoipa::path(get, path = "/health/live", operation_id = "live", tag = "server",
    responses((status = 200, description = "It does.", body = Health)))]
pub(crate) async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// Whether the server can accept jobs
///
/// The engine is known, the disk has room, and a commit went through.
#[utoipa::path(get, path = "/health/ready", operation_id = "ready", tag = "server",
    responses((status = 200, description = "It can.", body = Health)))]
pub(crate) async fn ready(State(server): State<Arc<Server>>) -> Result<Json<Health>> {
    check(&server).await?;
    Ok(Json(Health { status: "ready" }))
}

pub(crate) async fn check(server: &Server) -> Result<()> {
    server.engine()?;
    server.disk.check()?;
    // One commit answers all that ask at the same time, and a moment later.
    let mut last = server.pinged.lock().await;
    if last.is_some_and(|at| at.elapsed() < Duration::from_secs(1)) {
        return Ok(());
    }
    let busy = |_| Problem::new(Code::StoreBusy, "the store has not committed within 2 s").retry_after(5);
    timeout(PATIENCE, server.store.ping()).await.map_err(busy)??;
    *last = Some(std::time::Instant::now());
    Ok(())
}

/// Metrics
///
/// In Prometheus' text format; with API keys an admin's is needed.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "server",
    responses((status = 200, description = "Numbers.", content_type = "text/plain", body = String)))]
pub(crate) async fn metrics(State(server): State<Arc<Server>>, caller: Caller) -> Result<Response> {
    if !caller.admin {
        return Err(Problem::new(Code::Forbidden, "expected an admin's key, found another"));
    }
    let stats = server.store.stats().await?;
    let text = server.metrics.text(&stats, server.disk.free(), server.spans.dropped());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
