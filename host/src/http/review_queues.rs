//! Review queues over HTTP.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Json, Path, Query};
use super::idempotency::RequestDigest;
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{AssignmentId, InteractionId, ReviewQueueId};
use crate::domain::plugin::Output;
use crate::domain::review::{QueueDefinition, ReviewQueue, ReviewSubject};
use crate::runner::{NamedScore, named};
use crate::store::{Assigned, Disagreement, QueueFilled, QueueStatus};

/// List review queues
#[utoipa::path(get, path = "/v1/review-queues", tag = "reviews",
    responses((status = 200, body = Vec<ReviewQueue>)))]
pub async fn list(State(api): State<Api>) -> Result<Json<Vec<ReviewQueue>>, Problem> {
    Ok(Json(api.app.store.review_queue_list().await?))
}

/// Create a review queue
///
/// It looks at the evaluation's last run and at those after it.
#[utoipa::path(post, path = "/v1/review-queues", tag = "reviews", request_body = QueueDefinition,
    responses((status = 201, body = ReviewQueue), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    digest: Option<Extension<RequestDigest>>,
    Json(definition): Json<QueueDefinition>,
) -> Result<(StatusCode, Json<ReviewQueue>), Problem> {
    let id = digest.map_or_else(ReviewQueueId::new, |digest| ReviewQueueId::derived(&digest.0.0));
    let name = definition.name.clone();
    if let Ok(made) = api.app.store.review_queue_get(name.clone()).await
        && made.id == id
    {
        return Ok((StatusCode::CREATED, Json(made)));
    }
    let definition = api.app.runner.check_queue(definition).await?;
    api.app.store.review_queue_insert(id, definition, api.app.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(api.app.store.review_queue_get(name).await?)))
}

/// Get a review queue
#[utoipa::path(get, path = "/v1/review-queues/{name}", tag = "reviews", params(("name" = String, Path)),
    responses((status = 200, body = ReviewQueue), (status = 404, body = Problem)))]
pub async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<ReviewQueue>, Problem> {
    Ok(Json(api.app.store.review_queue_get(name).await?))
}

/// Change a review queue
///
/// Answers that it has not looked at yet are taken by the new rules. The
/// evaluation and the scorer stay.
#[utoipa::path(put, path = "/v1/review-queues/{name}", tag = "reviews", params(("name" = String, Path)),
    request_body = QueueDefinition,
    responses((status = 200, body = ReviewQueue), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub async fn change(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(definition): Json<QueueDefinition>,
) -> Result<Json<ReviewQueue>, Problem> {
    api.app.store.review_queue_get(name.clone()).await?;
    let definition = api.app.runner.check_queue(definition).await?;
    let renamed = definition.name.clone();
    api.app.store.review_queue_change(name, definition, api.app.clock.now()).await?;
    Ok(Json(api.app.store.review_queue_get(renamed).await?))
}

/// Delete a review queue; what was said in it stays
#[utoipa::path(delete, path = "/v1/review-queues/{name}", tag = "reviews", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem)))]
pub async fn delete(State(api): State<Api>, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    api.app.store.review_queue_delete(name, api.app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Fill a review queue now
///
/// The daemon does that by itself. Asked for, it also lets answers in before the
/// quota's time, up to what is left of the week.
#[utoipa::path(post, path = "/v1/review-queues/{name}/fill", tag = "reviews", params(("name" = String, Path)),
    responses((status = 200, body = QueueFilled), (status = 404, body = Problem)))]
pub async fn fill(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<QueueFilled>, Problem> {
    Ok(Json(api.app.runner.fill_review_queue(&name).await?))
}

/// Answers to add by hand.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Picked {
    /// Interactions, by id or by the client's own name.
    #[serde(default)]
    interactions: Vec<String>,
    /// Answers to items of reference sets.
    #[serde(default)]
    subjects: Vec<ReviewSubject>,
}

/// How many were added.
#[derive(Serialize, ToSchema)]
pub struct Added {
    /// Those that were not there before.
    added: u64,
}

/// Add answers to a review queue by hand
///
/// What is picked by hand has no probability: no estimate uses it.
#[utoipa::path(post, path = "/v1/review-queues/{name}/items", tag = "reviews", params(("name" = String, Path)),
    request_body = Picked,
    responses((status = 200, body = Added), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn pick(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(picked): Json<Picked>,
) -> Result<Json<Added>, Problem> {
    let interaction =
        |name: &String| ReviewSubject::Interaction { interaction: InteractionId::of_name(name) };
    let mut subjects: Vec<_> = picked.interactions.iter().map(interaction).collect();
    subjects.extend(picked.subjects);
    let added = api.app.store.review_items_pick(name, subjects, api.app.clock.now()).await?;
    Ok(Json(Added { added }))
}

/// Where a review queue stands
///
/// By class, with the quota and what was skipped; by class and rules, also those
/// that nothing is taken of; and by reviewer.
#[utoipa::path(get, path = "/v1/review-queues/{name}/status", tag = "reviews", params(("name" = String, Path)),
    responses((status = 200, body = QueueStatus), (status = 404, body = Problem)))]
pub async fn status(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<QueueStatus>, Problem> {
    Ok(Json(api.app.store.review_queue_status(name, api.app.clock.now()).await?))
}

/// Who reviews.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NextQuery {
    /// Name of the reviewer.
    reviewer: String,
}

/// The next answer to review.
#[derive(Serialize, ToSchema)]
pub struct NextReview {
    /// None where nothing is left for this reviewer now.
    assignment: Option<Assignment>,
}

/// An answer that a reviewer has.
#[derive(Serialize, ToSchema)]
pub struct Assignment {
    /// Id, for the verdict.
    id: AssignmentId,
    /// Until then nobody else is given the answer.
    expires_at: Timestamp,
    /// Which answer.
    subject: ReviewSubject,
    /// Class of the request; `unclassified` for those without.
    request_class: String,
    /// The question's side.
    #[schema(value_type = Object)]
    item: serde_json::Value,
    /// The answer's side.
    #[schema(value_type = Object)]
    answer: serde_json::Value,
    /// What is to be judged: the scorer's outputs, in order.
    form: Vec<Output>,
    /// What scorers said; only in a queue that is not blind.
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Vec<NamedScore>>,
}

impl Assignment {
    fn new(assigned: Assigned, form: Vec<Output>) -> Self {
        let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Self {
            id: assigned.id,
            expires_at: assigned.expires_at,
            item: json(&assigned.item),
            answer: json(&assigned.answer),
            subject: assigned.subject,
            request_class: assigned.request_class,
            form,
            scores: assigned.outcomes.map(|(item, scorers)| named(item, &scorers).0),
        }
    }
}

/// Take the next answer to review
///
/// The answer is the reviewer's until a verdict, a skip, or the end of its lease;
/// asked again before, the same one is answered. Nobody else is given it
/// meanwhile, unless two are to review it.
#[utoipa::path(post, path = "/v1/review-queues/{name}/next", tag = "reviews",
    params(("name" = String, Path), NextQuery),
    responses((status = 200, body = NextReview), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn next(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<NextQuery>,
) -> Result<Json<NextReview>, Problem> {
    let given = api.app.runner.next_review(&name, &query.reviewer).await?;
    let assignment = given.map(|(assigned, form)| Assignment::new(assigned, form));
    Ok(Json(NextReview { assignment }))
}

/// How many to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DisagreementQuery {
    /// The most answers, up to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// List answers on which verdicts differ
///
/// Those that nobody has decided over yet.
#[utoipa::path(get, path = "/v1/review-queues/{name}/disagreements", tag = "reviews",
    params(("name" = String, Path), DisagreementQuery),
    responses((status = 200, body = Vec<Disagreement>), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn disagreements(
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<DisagreementQuery>,
) -> Result<Json<Vec<Disagreement>>, Problem> {
    let limit = match query.limit.unwrap_or(100) {
        limit @ 1..=500 => limit,
        other => return Err(Problem::bad_request(format!("`limit` is {other}; it is 1 to 500"))),
    };
    Ok(Json(api.app.store.review_disagreements(name, limit).await?))
}
