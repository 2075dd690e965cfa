//! Whether the daemon lives and works.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::problem::Problem;
use crate::confinement::MissingBoundary;
use crate::store::Condition;

/// Whether the daemon works.
#[derive(Serialize, ToSchema)]
pub struct Readiness {
    /// Whether runs can go on.
    ready: bool,
    /// Worker processes that run now.
    workers: usize,
    /// Whether the database can be written; runs wait while it cannot.
    storage: Condition,
    /// Runs that go on now.
    runs: usize,
    /// What the system could not take away from the workers; empty where
    /// plugins are wholly confined.
    missing_boundaries: Vec<MissingBoundary>,
}

/// What this is.
#[derive(Serialize, ToSchema)]
pub struct BuildVersion {
    /// Always `assay`.
    name: &'static str,
    /// BuildVersion of the daemon.
    version: &'static str,
    /// The plugin contract that it speaks.
    contract: &'static str,
}

/// Lives
#[utoipa::path(get, path = "/healthz", tag = "status", responses((status = 200, description = "The daemon lives")))]
pub async fn health() -> &'static str {
    "ok\n"
}

/// Works
#[utoipa::path(get, path = "/readyz", tag = "status", responses(
    (status = 200, body = Readiness, description = "Runs can go on"),
    (status = 503, body = Readiness, description = "The database or the workers are not there"),
))]
pub async fn readiness(State(api): State<Api>) -> Response {
    let workers = api.app.workers.process_ids().len();
    let readable = api.app.store.schedule_next_due().await.is_ok();
    let storage = api.app.store.condition().await;
    let ready = workers > 0 && readable && storage == Condition::Writable;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let missing_boundaries = api.app.workers.missing_boundaries();
    let readiness =
        Readiness { ready, workers, storage, runs: api.app.runner.open_count(), missing_boundaries };
    (status, Json(readiness)).into_response()
}

/// What this is
#[utoipa::path(get, path = "/version", tag = "status", responses((status = 200, body = BuildVersion)))]
pub async fn version() -> Json<BuildVersion> {
    let version = env!("CARGO_PKG_VERSION");
    Json(BuildVersion { name: "assay", version, contract: crate::catalogue::CONTRACT })
}

/// The daemon's own figures, for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "status", responses(
    (status = 200, content_type = "text/plain", body = String, description = "Prometheus text format"),
    (status = 404, body = Problem),
))]
pub async fn prometheus(State(api): State<Api>) -> Result<Response, Problem> {
    let handle = api.metrics.ok_or_else(|| Problem::not_found("metrics are not recorded in this process"))?;
    metrics::gauge!("assay_workers").set(api.app.workers.process_ids().len() as f64);
    metrics::gauge!("assay_runs_open").set(api.app.runner.open_count() as f64);
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((headers, handle.render()).into_response())
}
