//! Reclassifications over HTTP: interactions that are there get the class that
//! the rules of now give them.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Api;
use super::extract::{Json, Path};
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::ids::ReclassificationId;
use crate::domain::reclassification::Reclassification;
use crate::store::Started;

/// Which interactions are classified anew.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReclassification {
    /// Only what started at this instant or later.
    from: Option<Timestamp>,
    /// Only what started before this instant.
    to: Option<Timestamp>,
}

/// The latest reclassifications.
#[derive(Serialize, ToSchema)]
pub struct ReclassificationList {
    /// Version of the rules by which this daemon classifies. It carries out what
    /// was asked for by these.
    rules: String,
    /// The latest 100, the latest first.
    reclassifications: Vec<Reclassification>,
}

/// Classify interactions anew
///
/// Those that are there get the class that the rules of now (`ingest.classes`) give
/// them, in the background. What they were before is kept. Classes that the client
/// gave stay. While one is under way, asking for the same answers it, and asking for another
/// time is refused.
#[utoipa::path(post, path = "/v1/reclassifications", tag = "production", request_body = NewReclassification,
    responses(
        (status = 201, body = Reclassification),
        (status = 200, body = Reclassification, description = "The same is under way"),
        (status = 409, body = Problem, description = "Another one is under way"),
    ))]
pub async fn start(
    State(api): State<Api>,
    Json(wanted): Json<NewReclassification>,
) -> Result<(StatusCode, Json<Reclassification>), Problem> {
    Ok(match api.app.ingest.reclassifier().start(wanted.from, wanted.to).await? {
        Started::New(made) => (StatusCode::CREATED, Json(made)),
        Started::Running(running) => (StatusCode::OK, Json(running)),
    })
}

/// List reclassifications
#[utoipa::path(get, path = "/v1/reclassifications", tag = "production",
    responses((status = 200, body = ReclassificationList)))]
pub async fn list(State(api): State<Api>) -> Result<Json<ReclassificationList>, Problem> {
    let rules = api.app.ingest.reclassifier().rules().to_owned();
    let reclassifications = api.app.store.reclassification_list().await?;
    Ok(Json(ReclassificationList { rules, reclassifications }))
}

/// Get a reclassification and how far it has come
#[utoipa::path(get, path = "/v1/reclassifications/{id}", tag = "production",
    params(("id" = ReclassificationId, Path)),
    responses((status = 200, body = Reclassification), (status = 404, body = Problem)))]
pub async fn get(
    State(api): State<Api>,
    Path(id): Path<ReclassificationId>,
) -> Result<Json<Reclassification>, Problem> {
    Ok(Json(api.app.store.reclassification_get(id).await?))
}
