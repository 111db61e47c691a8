//! What folds here, and what it takes.

use crate::app::Server;
use crate::caller::Caller;
use crate::problem::Result;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use work::Model;

/// What folds here.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Engine)]
pub(crate) struct EngineView {
    /// `foldry` and its version.
    version: String,
    /// `cpu` or `cuda`.
    device_class: String,
    /// The device's name.
    device: String,
    /// All models; the first is what `auto` means.
    models: Vec<Model>,
    /// What this server takes.
    limits: LimitsView,
}

/// Bounds of a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
struct LimitsView {
    /// Bytes of a body, also after decompression.
    body_bytes: usize,
    /// Residues of a sequence.
    residues: usize,
    /// Rows of an alignment.
    rows: usize,
    /// Templates of a job.
    templates: usize,
    /// Jobs of a batch.
    batch: usize,
    /// Recycles of a job.
    recycles: u32,
    /// Seeds of a job.
    num_seeds: u32,
}

/// Read what folds here
#[utoipa::path(
    get,
    path = "/v1/engine",
    operation_id = "read_engine",
    tag = "server",
    responses((status = 200, description = "Version, device, models and limits.", body = EngineView))
)]
pub(crate) async fn engine(State(server): State<Arc<Server>>, _: Caller) -> Result<Json<EngineView>> {
    let engine = server.engine()?;
    let limits = &server.limits;
    Ok(Json(EngineView {
        version: engine.version,
        device_class: engine.device_class,
        device: engine.device,
        models: engine.models,
        limits: LimitsView {
            body_bytes: limits.body,
            residues: limits.residues,
            rows: limits.rows,
            templates: limits.templates,
            batch: limits.batch,
            recycles: limits.recycles,
            num_seeds: limits.num_seeds,
        },
    }))
}
