//! Evaluations and their schedules over HTTP.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::extract::{Json, Path};
use super::idempotency::{self, RequestDigest};
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::evaluation::{Definition, Evaluation, Schedule, ScheduleFields};
use crate::domain::ids::EvaluationId;

/// When a schedule is due next.
#[derive(Serialize, ToSchema)]
pub struct Due {
    /// The next run; none where the schedule is never due again.
    next_due_at: Option<Timestamp>,
}

/// Create an evaluation
///
/// Every plugin is asked about its configuration, so that a bad pattern is
/// refused now and not at night.
#[utoipa::path(post, path = "/v1/evaluations", tag = "evaluations", request_body = Definition,
    responses((status = 201, body = Evaluation), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    digest: Option<Extension<RequestDigest>>,
    Json(definition): Json<Definition>,
) -> Result<(StatusCode, Json<Evaluation>), Problem> {
    let mut id = digest.map_or_else(EvaluationId::new, |digest| EvaluationId::derived(&digest.0.0));
    if let Ok(made) = api.app.store.evaluation_get(id).await {
        if idempotency::is_recent(made.created_at, api.app.clock.now()) {
            return Ok((StatusCode::CREATED, Json(made)));
        }
        id = EvaluationId::new();
    }
    check(&api, &definition).await?;
    api.app.store.evaluation_insert(id, definition, api.app.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(api.app.store.evaluation_get(id).await?)))
}

async fn check(api: &Api, definition: &Definition) -> Result<(), Problem> {
    let problems = api.app.runner.check(definition).await?;
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// List evaluations
#[utoipa::path(get, path = "/v1/evaluations", tag = "evaluations",
    responses((status = 200, body = Vec<Evaluation>)))]
pub async fn list(State(api): State<Api>) -> Result<Json<Vec<Evaluation>>, Problem> {
    Ok(Json(api.app.store.evaluation_list().await?))
}

/// Get an evaluation
#[utoipa::path(get, path = "/v1/evaluations/{id}", tag = "evaluations", params(("id" = EvaluationId, Path)),
    responses((status = 200, body = Evaluation), (status = 404, body = Problem)))]
pub async fn get(State(api): State<Api>, Path(id): Path<EvaluationId>) -> Result<Json<Evaluation>, Problem> {
    Ok(Json(api.app.store.evaluation_get(id).await?))
}

/// Change an evaluation
///
/// Runs that exist keep the definition that they began with.
#[utoipa::path(put, path = "/v1/evaluations/{id}", tag = "evaluations", params(("id" = EvaluationId, Path)),
    request_body = Definition,
    responses((status = 200, body = Evaluation), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    Path(id): Path<EvaluationId>,
    Json(definition): Json<Definition>,
) -> Result<Json<Evaluation>, Problem> {
    api.app.store.evaluation_get(id).await?;
    check(&api, &definition).await?;
    api.app.store.evaluation_change(id, definition, api.app.clock.now()).await?;
    Ok(Json(api.app.store.evaluation_get(id).await?))
}

/// Delete an evaluation; its runs stay
#[utoipa::path(delete, path = "/v1/evaluations/{id}", tag = "evaluations", params(("id" = EvaluationId, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub async fn delete(State(api): State<Api>, Path(id): Path<EvaluationId>) -> Result<StatusCode, Problem> {
    api.app.store.evaluation_delete(id, api.app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Set the schedule
#[utoipa::path(put, path = "/v1/evaluations/{id}/schedule", tag = "evaluations",
    params(("id" = EvaluationId, Path)), request_body = ScheduleFields,
    responses((status = 200, body = Due), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn set_schedule(
    State(api): State<Api>,
    Path(id): Path<EvaluationId>,
    Json(schedule): Json<Schedule>,
) -> Result<Json<Due>, Problem> {
    let next_due_at = api.scheduler.set(id, Some(schedule)).await?;
    Ok(Json(Due { next_due_at }))
}

/// Remove the schedule
#[utoipa::path(delete, path = "/v1/evaluations/{id}/schedule", tag = "evaluations",
    params(("id" = EvaluationId, Path)), responses((status = 204), (status = 404, body = Problem)))]
pub async fn remove_schedule(
    State(api): State<Api>,
    Path(id): Path<EvaluationId>,
) -> Result<StatusCode, Problem> {
    api.scheduler.set(id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
