//! What people say of answers, over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Bytes, Json, Path, Query};
use super::interactions::Received;
use super::problem::Problem;
use crate::domain::ids::{AssignmentId, EvaluationId, ReviewId};
use crate::domain::review::{Review, VerdictContent};
use crate::ingest::Rejected;
use crate::runner::{ReviewLine, ReviewTarget};
use crate::store::{Closing, ReviewFilter, Undone};

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 500;

/// A verdict on an answer that a reviewer has.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVerdict {
    /// The assignment.
    assignment: AssignmentId,
    /// By output of the form: a number, yes or no, or a category. What is left out
    /// was not judged.
    #[serde(default)]
    #[schema(value_type = Object)]
    values: std::collections::BTreeMap<String, serde_json::Value>,
    /// Failure modes that the person sees.
    #[serde(default)]
    failure_modes: Vec<String>,
    /// For other people.
    notes: Option<String>,
    /// It is used to tune the rubric: corrected figures do without it.
    #[serde(default)]
    development: bool,
}

/// Keep a verdict
#[utoipa::path(post, path = "/v1/reviews", tag = "reviews", request_body = NewVerdict,
    responses((status = 201, body = Review), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn create(
    State(api): State<Api>,
    Json(verdict): Json<NewVerdict>,
) -> Result<(StatusCode, Json<Review>), Problem> {
    let content =
        VerdictContent { values: verdict.values, failure_modes: verdict.failure_modes, notes: verdict.notes };
    let review = api.app.runner.review(verdict.assignment, content, verdict.development).await?;
    Ok((StatusCode::CREATED, Json(review)))
}

/// An answer that a reviewer passes on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// The assignment.
    assignment: AssignmentId,
    /// Why, for people.
    reason: Option<String>,
}

/// Skip an answer
///
/// The reviewer is not given it again; others are. What nobody judges is
/// non-response, which a queue's status counts.
#[utoipa::path(post, path = "/v1/reviews/skip", tag = "reviews", request_body = Skip,
    responses((status = 204), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub async fn skip(State(api): State<Api>, Json(skip): Json<Skip>) -> Result<StatusCode, Problem> {
    let closing = Closing::Skip { reason: skip.reason };
    api.app.store.review_close(skip.assignment, closing, api.app.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who takes something back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    /// In which queue.
    queue: String,
    /// Name of the reviewer.
    reviewer: String,
}

/// What was taken back.
#[derive(Serialize, ToSchema)]
pub struct TakenBack {
    /// The verdict, which stays as history; none where a skip was taken back.
    review: Option<Review>,
}

/// Take back the last verdict or skip
///
/// The answer is the reviewer's again: it is the next one.
#[utoipa::path(post, path = "/v1/reviews/undo", tag = "reviews", request_body = Undo,
    responses((status = 200, body = TakenBack), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn undo(State(api): State<Api>, Json(undo): Json<Undo>) -> Result<Json<TakenBack>, Problem> {
    let undone = api.app.store.review_undo(undo.queue, undo.reviewer, api.app.clock.now()).await?;
    let review = match undone {
        Undone::Verdict(review) => Some(*review),
        Undone::Skip => None,
    };
    Ok(Json(TakenBack { review }))
}

/// A decision over verdicts that disagree.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Adjudication {
    /// One of the verdicts.
    review: ReviewId,
    /// Who decides.
    reviewer: String,
    /// By output of the form.
    #[serde(default)]
    #[schema(value_type = Object)]
    values: std::collections::BTreeMap<String, serde_json::Value>,
    /// Failure modes that the person sees.
    #[serde(default)]
    failure_modes: Vec<String>,
    /// For other people.
    notes: Option<String>,
}

/// Decide over verdicts that disagree
///
/// The decision counts in place of the verdicts; one before it is taken back.
#[utoipa::path(post, path = "/v1/reviews/adjudicate", tag = "reviews", request_body = Adjudication,
    responses((status = 201, body = Review), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn adjudicate(
    State(api): State<Api>,
    Json(decision): Json<Adjudication>,
) -> Result<(StatusCode, Json<Review>), Problem> {
    let content = VerdictContent {
        values: decision.values,
        failure_modes: decision.failure_modes,
        notes: decision.notes,
    };
    let review = api.app.runner.adjudicate(decision.review, decision.reviewer, content).await?;
    Ok((StatusCode::CREATED, Json(review)))
}

/// Whose form is filled in.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The evaluation; may be missing where `queue` is given.
    evaluation: Option<EvaluationId>,
    /// Its scorer; may be missing where it has one.
    scorer: Option<String>,
    /// A queue: its evaluation and scorer are meant, and known verdicts go into it.
    queue: Option<String>,
}

/// Import verdicts
///
/// JSON lines: `interaction` (an id or the client's own name), or `reference_set`,
/// `key`, and where they are not the newest, 0 and the default one, `version`,
/// `trial`, `recording` or `run`; `reviewer`; `values` by output; `failure_modes`,
/// `notes`, `reviewed_at`; `probability` with which the answer was taken for
/// review, without which estimates do without the verdict; `development` where it
/// was used to tune the rubric; `gold` where it is known to be right; `id`. What is
/// sent again counts once.
#[utoipa::path(post, path = "/v1/reviews/import", tag = "reviews", params(ImportQuery),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = Received), (status = 404, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem, description = "Not one of them can be used")))]
pub async fn import(
    State(api): State<Api>,
    Query(query): Query<ImportQuery>,
    Bytes(body): Bytes,
) -> Result<Json<Received>, Problem> {
    let target = target(&api, query).await?;
    let text = std::str::from_utf8(&body)
        .map_err(|error| Problem::bad_request(format!("the body is not UTF-8: {error}")))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let (numbers, lines): (Vec<usize>, Vec<_>) = lines
        .map(|(number, line)| {
            (number, serde_json::from_str::<ReviewLine>(line).map_err(|error| error.to_string()))
        })
        .unzip();
    let imported = api.app.runner.import_reviews(&target, lines).await?;
    let rejected = imported.rejected.into_iter();
    let rejected: Vec<_> =
        rejected.map(|(place, reason)| Rejected { line: numbers[place], reason }).collect();
    Received::of(imported.accepted as usize, imported.duplicates as usize, rejected).map(Json)
}

async fn target(api: &Api, query: ImportQuery) -> Result<ReviewTarget, Problem> {
    let ImportQuery { evaluation, scorer, queue } = query;
    let (evaluation, scorer) = match (&queue, evaluation) {
        (Some(queue), None) => {
            let definition = api.app.store.review_queue_get(queue.clone()).await?.definition;
            (definition.evaluation, definition.scorer)
        }
        (None, Some(evaluation)) => (evaluation, scorer),
        _ => return Err(Problem::invalid("either `evaluation` or `queue` is needed", Vec::new())),
    };
    Ok(ReviewTarget { evaluation, scorer, queue })
}

/// Which reviews to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Of this evaluation only.
    evaluation: Option<EvaluationId>,
    /// Asked for by this queue only.
    queue: Option<String>,
    /// By this person only.
    reviewer: Option<String>,
    /// The most reviews, up to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<i64>,
}

/// A page of reviews, the last recorded first.
#[derive(Serialize, ToSchema)]
pub struct ReviewPage {
    /// The reviews.
    reviews: Vec<Review>,
    /// For the next page; none at the end.
    next_cursor: Option<i64>,
}

/// List reviews
///
/// Also those that were taken back, with `withdrawn_at`.
#[utoipa::path(get, path = "/v1/reviews", tag = "reviews", params(ListQuery),
    responses((status = 200, body = ReviewPage), (status = 400, body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    Query(query): Query<ListQuery>,
) -> Result<Json<ReviewPage>, Problem> {
    let limit = match query.limit.unwrap_or(PAGE_DEFAULT) {
        limit @ 1..=PAGE_MAX => limit,
        other => return Err(Problem::bad_request(format!("`limit` is {other}; it is 1 to {PAGE_MAX}"))),
    };
    let filter = ReviewFilter {
        evaluation: query.evaluation,
        queue: query.queue,
        reviewer: query.reviewer,
        before: query.cursor,
        limit,
    };
    let (reviews, next_cursor) = api.app.store.review_list(filter).await?;
    Ok(Json(ReviewPage { reviews, next_cursor }))
}

/// Get a review
#[utoipa::path(get, path = "/v1/reviews/{id}", tag = "reviews", params(("id" = ReviewId, Path)),
    responses((status = 200, body = Review), (status = 404, body = Problem)))]
pub async fn get(State(api): State<Api>, Path(id): Path<ReviewId>) -> Result<Json<Review>, Problem> {
    Ok(Json(api.app.store.review_get(id).await?))
}
