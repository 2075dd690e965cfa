//! Runs over HTTP.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Json, Path, Query};
use super::idempotency::{self, RequestDigest};
use super::problem::Problem;
use crate::domain::completion::Completion;
use crate::domain::ids::{EvaluationId, RunId};
use crate::domain::plugin::Cause;
use crate::domain::run::{Progress, Run, RunState};
use crate::runner::{FailureModes, FailuresBy, NamedScore, NamedUnscored, Replay, RunResult, named};
use crate::store::{ItemFilter, ItemRow, RunFilter};

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 500;
/// Progress is told this often at most.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Which runs to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Of this evaluation only.
    evaluation: Option<EvaluationId>,
    /// In this state only.
    #[param(inline)]
    state: Option<StateName>,
    /// The most runs, up to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<RunId>,
}

/// A state's name.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateName {
    Queued,
    Running,
    Finished,
    Cancelled,
    Failed,
    Skipped,
}

/// A page of runs, newest first.
#[derive(Serialize, ToSchema)]
pub struct RunPage {
    /// The runs.
    runs: Vec<Run>,
    /// For the next page; none at the end.
    next_cursor: Option<RunId>,
}

/// Which items to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ItemQuery {
    /// With this completion only.
    completion: Option<Completion>,
    /// Of this request class only; `unclassified` for those without.
    request_class: Option<String>,
    /// With a scorer that has no score for this cause only.
    cause: Option<Cause>,
    /// The most items, up to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,18}-[0-9]{1,9}$")]
    cursor: Option<String>,
}

/// A page of items, in the reference set's order.
#[derive(Serialize, ToSchema)]
pub struct ItemPage {
    /// The items.
    items: Vec<Item>,
    /// For the next page; none at the end.
    next_cursor: Option<String>,
}

/// One answer of a run, with its outcomes.
#[derive(Serialize, ToSchema)]
pub struct Item {
    /// The client's name of the item; of production, the interaction's id.
    key: String,
    /// Which of several answers to the item.
    trial: u32,
    /// Class of the request.
    request_class: Option<String>,
    /// Whether the task was completed; none without a completion rule.
    completion: Option<Completion>,
    /// The question's side.
    #[schema(value_type = Object)]
    item: serde_json::Value,
    /// The answer's side.
    #[schema(value_type = Option<Object>)]
    answer: Option<serde_json::Value>,
    /// Scores.
    scores: Vec<NamedScore>,
    /// What has no score, and why.
    unscored: Vec<NamedUnscored>,
}

/// What a cancellation did.
#[derive(Serialize, ToSchema)]
pub struct Cancelled {
    /// Whether the run was still open.
    cancelled: bool,
}

/// Where a run stands, as an event's data.
#[derive(Serialize, ToSchema)]
pub struct Told {
    #[serde(flatten)]
    state: RunState,
    /// How far it is.
    progress: Progress,
}

/// One server-sent event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `Event` writes")]
pub struct RunEvent {
    /// `progress`, and `end` when the run is over.
    event: String,
    /// JSON of a `Told`.
    #[schema(content_media_type = "application/json")]
    data: String,
}

/// Start a run
#[utoipa::path(post, path = "/v1/evaluations/{id}/runs", tag = "runs", params(("id" = EvaluationId, Path)),
    responses((status = 201, body = Run), (status = 404, body = Problem)))]
pub async fn start(
    State(api): State<Api>,
    digest: Option<Extension<RequestDigest>>,
    Path(id): Path<EvaluationId>,
) -> Result<(StatusCode, Json<Run>), Problem> {
    let mut run = digest.map_or_else(RunId::new, |digest| RunId::derived(&digest.0.0));
    if let Ok(made) = api.app.store.run_get(run).await {
        if idempotency::is_recent(made.created_at, api.app.clock.now()) {
            return Ok((StatusCode::CREATED, Json(made)));
        }
        run = RunId::new();
    }
    api.app.runner.start_as(run, id).await?;
    Ok((StatusCode::CREATED, Json(api.app.store.run_get(run).await?)))
}

/// List runs
#[utoipa::path(get, path = "/v1/runs", tag = "runs", params(ListQuery),
    responses((status = 200, body = RunPage), (status = 400, body = Problem)))]
pub async fn list(State(api): State<Api>, Query(query): Query<ListQuery>) -> Result<Json<RunPage>, Problem> {
    let limit = page_size(query.limit)?;
    let state = query.state.map(|state| serde_json::to_value(state).unwrap_or_default());
    let filter = RunFilter {
        evaluation: query.evaluation,
        state: state.and_then(|state| state.as_str().map(str::to_owned)),
        before: query.cursor,
        limit,
    };
    let runs = api.app.store.run_list(filter).await?;
    let next_cursor = (runs.len() == limit as usize).then(|| runs.last().map(|run| run.id)).flatten();
    Ok(Json(RunPage { runs, next_cursor }))
}

/// Get a run
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, body = Run), (status = 404, body = Problem)))]
pub async fn get(State(api): State<Api>, Path(id): Path<RunId>) -> Result<Json<Run>, Problem> {
    Ok(Json(api.app.store.run_get(id).await?))
}

/// Get a run's figures, with their intervals
#[utoipa::path(get, path = "/v1/runs/{id}/result", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, body = RunResult), (status = 404, body = Problem)))]
pub async fn result(State(api): State<Api>, Path(id): Path<RunId>) -> Result<Json<RunResult>, Problem> {
    Ok(Json(api.app.runner.result(id).await?))
}

/// How failures are grouped.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct FailureQuery {
    /// `class`, `template` or `day`; not grouped where it is missing.
    #[param(inline)]
    by: Option<FailuresBy>,
}

/// Get how a run's answers failed
///
/// A distribution over the failure modes that classifiers named, with intervals.
/// Failures that none of them knows are `unclassified`.
#[utoipa::path(get, path = "/v1/runs/{id}/failure-modes", tag = "runs",
    params(("id" = RunId, Path), FailureQuery),
    responses((status = 200, body = FailureModes), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn failure_modes(
    State(api): State<Api>,
    Path(id): Path<RunId>,
    Query(query): Query<FailureQuery>,
) -> Result<Json<FailureModes>, Problem> {
    Ok(Json(api.app.runner.failure_modes(id, query.by).await?))
}

/// Score a run again from what was kept of it
///
/// No model is asked: stored answers, stored replies of judges, the pinned builds.
/// Answers what differs; nothing is changed.
#[utoipa::path(post, path = "/v1/runs/{id}/replay", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, body = Replay), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn replay(State(api): State<Api>, Path(id): Path<RunId>) -> Result<Json<Replay>, Problem> {
    Ok(Json(api.app.runner.replay(id).await?))
}

/// Cancel a run
#[utoipa::path(post, path = "/v1/runs/{id}/cancel", tag = "runs", params(("id" = RunId, Path)),
    responses((status = 200, body = Cancelled), (status = 404, body = Problem)))]
pub async fn cancel(State(api): State<Api>, Path(id): Path<RunId>) -> Result<Json<Cancelled>, Problem> {
    Ok(Json(Cancelled { cancelled: api.app.runner.cancel(id).await? }))
}

/// List a run's items
#[utoipa::path(get, path = "/v1/runs/{id}/items", tag = "runs", params(("id" = RunId, Path), ItemQuery),
    responses((status = 200, body = ItemPage), (status = 400, body = Problem), (status = 404, body = Problem)))]
pub async fn items(
    State(api): State<Api>,
    Path(id): Path<RunId>,
    Query(query): Query<ItemQuery>,
) -> Result<Json<ItemPage>, Problem> {
    let limit = page_size(query.limit)?;
    let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
    let filter = ItemFilter {
        completion: query.completion,
        request_class: query.request_class,
        cause: query.cause,
        after,
        limit,
    };
    let run = api.app.store.run_get(id).await?;
    let rows = api.app.store.run_item_page(&run, filter).await?;
    let next_cursor = match rows.last() {
        Some(last) if rows.len() == limit as usize => Some(format!("{}-{}", last.item, last.trial)),
        _ => None,
    };
    let items = rows.into_iter().map(|row| item(&run, row)).collect();
    Ok(Json(ItemPage { items, next_cursor }))
}

fn page_size(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(PAGE_DEFAULT) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        other => Err(Problem::bad_request(format!("`limit` is {other}; it is 1 to {PAGE_MAX}"))),
    }
}

fn parse_cursor(cursor: &str) -> Result<(i64, u32), Problem> {
    cursor
        .split_once('-')
        .and_then(|(item, trial)| Some((item.parse().ok()?, trial.parse().ok()?)))
        .ok_or_else(|| Problem::bad_request(format!("`{cursor}` is no cursor of this list")))
}

fn item(run: &Run, mut row: ItemRow) -> Item {
    let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
    let (payload, answer) = (json(&row.payload), row.answer.as_deref().map(json));
    let (key, request_class) = (std::mem::take(&mut row.key), row.request_class.take());
    let (trial, completion) = (row.trial, row.completion);
    let (scores, unscored) = named(row, &run.scorers);
    Item { key, trial, request_class, completion, item: payload, answer, scores, unscored }
}

/// Follow a run
///
/// Server-sent events named `progress`, and one named `end` when the run is over.
#[utoipa::path(get, path = "/v1/runs/{id}/events", tag = "runs", params(("id" = RunId, Path)), responses(
    (status = 200, content_type = "text/event-stream", body = RunEvent), (status = 404, body = Problem),
))]
pub async fn events(
    State(api): State<Api>,
    Path(id): Path<RunId>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    api.app.store.run_get(id).await?;
    let stream = stream::unfold(Some(None), move |before: Option<Option<(RunState, Progress)>>| {
        let api = api.clone();
        async move {
            let mut before = before?;
            loop {
                let run = api.app.store.run_get(id).await.ok()?;
                let over = run.state.is_over();
                let now = (run.state, run.progress);
                if before.as_ref() != Some(&now) {
                    let name = if over { "end" } else { "progress" };
                    let told = Told { state: now.0.clone(), progress: now.1 };
                    let event = Event::default().event(name).json_data(told).ok()?;
                    return Some((Ok(event), (!over).then_some(Some(now))));
                }
                before = Some(now);
                tokio::time::sleep(TELL_EVERY).await;
            }
        }
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}
