//! Interactions of production and what users did, over HTTP.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Bytes, Json, Path, SliceQuery};
use super::problem::{Problem, ProblemPlace};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{InteractionId, SessionId};
use crate::domain::reclassification::EarlierClass;
use crate::domain::slice::Slice;
use crate::ingest::{Lines, Rejected, read_events, read_interactions};
use crate::runner::EvaluationFate;
use crate::store::{SignalRow, StoredInteraction};

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 500;

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub struct Received {
    /// New ones; they are on disk.
    accepted: usize,
    /// Those that were sent before; they stay as they were.
    duplicates: usize,
    /// Those that cannot be used.
    rejected: Vec<Rejected>,
}

/// Receive interactions
///
/// JSON lines, an array, or one object. `id` is the client's own name of the
/// interaction: what is sent again under the same `id` is counted once. The
/// other members are those of an interaction (`query`, `actual`, `timing`,
/// `usage`, …) and `session`, `conversation`, `user`, `tenant`, `service`,
/// `service_version`, `started_at`, `partial`, `upstream_probability`, `cost`,
/// `scores`.
#[utoipa::path(post, path = "/v1/interactions", tag = "ingest",
    request_body(content((String = "application/x-ndjson"), (Object = "application/json"))),
    responses(
        (status = 200, body = Received), (status = 413, body = Problem),
        (status = 422, body = Problem, description = "Not one of them can be used"),
        (status = 503, body = Problem, headers(("Retry-After" = u32))),
    ))]
pub async fn receive(State(api): State<Api>, Bytes(body): Bytes) -> Result<Json<Received>, Problem> {
    let lines = usable(read_interactions(&body, api.app.clock.now()))?;
    let taken = api.app.ingest.interactions(lines.good).await?;
    Ok(Json(Received { accepted: taken.new, duplicates: taken.duplicates, rejected: lines.rejected }))
}

/// Receive events: what users did
///
/// JSON lines, an array, or one object: `kind` (`copied`, `reported`,
/// `retried`, `abandoned`, `rated`, or your own), what it is about
/// (`interaction`: its id or your own name of it; `trace`; or `session`), and
/// `id`, `user`, `at`, `value`.
#[utoipa::path(post, path = "/v1/events", tag = "ingest",
    request_body(content((String = "application/x-ndjson"), (Object = "application/json"), (String = "text/plain"))),
    responses(
        (status = 200, body = Received), (status = 413, body = Problem),
        (status = 422, body = Problem, description = "Not one of them can be used"),
        (status = 503, body = Problem, headers(("Retry-After" = u32))),
    ))]
pub async fn receive_events(State(api): State<Api>, Bytes(body): Bytes) -> Result<Json<Received>, Problem> {
    let lines = usable(read_events(&body, api.app.clock.now()))?;
    let taken = api.app.ingest.events(lines.good).await?;
    Ok(Json(Received { accepted: taken.new, duplicates: taken.duplicates, rejected: lines.rejected }))
}

impl Received {
    /// A batch of which nothing can be used is an error; one of which something can is not.
    pub(super) fn of(accepted: usize, duplicates: usize, rejected: Vec<Rejected>) -> Result<Self, Problem> {
        if accepted + duplicates == 0 && !rejected.is_empty() {
            return Err(none_usable(rejected));
        }
        Ok(Self { accepted, duplicates, rejected })
    }
}

fn usable<T>(lines: Lines<T>) -> Result<Lines<T>, Problem> {
    if lines.good.is_empty() && !lines.rejected.is_empty() {
        return Err(none_usable(lines.rejected));
    }
    Ok(lines)
}

fn none_usable(rejected: Vec<Rejected>) -> Problem {
    let place = |rejected: Rejected| ProblemPlace {
        path: format!("line {}", rejected.line),
        message: rejected.reason,
    };
    Problem::invalid("not one line can be used", rejected.into_iter().map(place).collect())
}

/// Which page of a slice.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The most interactions, up to 500.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<i64>,
}

/// A page of interactions, last received first.
#[derive(Serialize, ToSchema)]
pub struct InteractionPage {
    /// The interactions.
    interactions: Vec<InteractionView>,
    /// For the next page; none at the end.
    next_cursor: Option<i64>,
}

/// An interaction of production.
#[derive(Serialize, ToSchema)]
pub struct InteractionView {
    /// Its id.
    id: InteractionId,
    /// When the request began.
    started_at: Timestamp,
    /// When it was received.
    received_at: Timestamp,
    /// The visit that it belongs to.
    session: Option<SessionId>,
    /// Class of the request.
    request_class: Option<String>,
    /// Version of the rules that gave the class, or of which none fits; none where
    /// the client gave it, or there were no rules.
    class_rules: Option<String>,
    /// The question's side.
    #[schema(value_type = Object)]
    item: serde_json::Value,
    /// The answer's side.
    #[schema(value_type = Object)]
    answer: serde_json::Value,
    /// Whose it is and how it got here.
    #[schema(value_type = Object)]
    origin: serde_json::Value,
}

impl From<StoredInteraction> for InteractionView {
    fn from(stored: StoredInteraction) -> Self {
        let json = |text: &str| serde_json::from_str(text).unwrap_or_default();
        Self {
            id: stored.id,
            started_at: stored.started_at,
            received_at: stored.received_at,
            session: stored.session,
            request_class: stored.request_class,
            class_rules: stored.class_rules,
            item: json(stored.payload.item()),
            answer: json(stored.payload.answer()),
            origin: serde_json::to_value(&stored.payload.origin).unwrap_or_default(),
        }
    }
}

/// List interactions of production
#[utoipa::path(get, path = "/v1/interactions", tag = "production", params(Slice, PageQuery),
    responses((status = 200, body = InteractionPage), (status = 400, body = Problem)))]
pub async fn list(
    State(api): State<Api>,
    SliceQuery { slice, rest: page }: SliceQuery<PageQuery>,
) -> Result<Json<InteractionPage>, Problem> {
    let limit = match page.limit.unwrap_or(PAGE_DEFAULT) {
        limit @ 1..=PAGE_MAX => limit,
        other => return Err(Problem::bad_request(format!("`limit` is {other}; it is 1 to {PAGE_MAX}"))),
    };
    let found = api.app.store.interaction_page(slice, page.cursor, limit).await?;
    let next_cursor = found.last().filter(|_| found.len() == limit as usize).map(|last| last.row);
    let interactions = found.into_iter().map(InteractionView::from).collect();
    Ok(Json(InteractionPage { interactions, next_cursor }))
}

/// Get an interaction of production
///
/// By its id, or by the client's own name of it.
#[utoipa::path(get, path = "/v1/interactions/{id}", tag = "production", params(("id" = String, Path)),
    responses((status = 200, body = InteractionDetail), (status = 404, body = Problem)))]
pub async fn get(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<InteractionDetail>, Problem> {
    let found = api.app.store.interaction_get(InteractionId::of_name(&name)).await?;
    let signals = api.app.store.signals_of(found.row).await?;
    let signals = signals.into_iter().map(SignalView::from).collect();
    let earlier_classes = api.app.store.earlier_classes(found.row).await?;
    Ok(Json(InteractionDetail { interaction: found.into(), earlier_classes, signals }))
}

/// An interaction of production with what its user showed.
#[derive(Serialize, ToSchema)]
pub struct InteractionDetail {
    #[serde(flatten)]
    interaction: InteractionView,
    /// Classes that it had before it was classified anew, the earliest first.
    earlier_classes: Vec<EarlierClass>,
    /// Signals; none before its session has closed.
    signals: Vec<SignalView>,
}

/// A signal.
#[derive(Serialize, ToSchema)]
pub struct SignalView {
    /// Name of the output.
    output: String,
    /// Its value where it is a number; 1 and 0 for yes and no.
    value: Option<f64>,
    /// Its value where it is a category.
    category: Option<String>,
    /// Reason and extra, where the plugin gave them.
    #[schema(value_type = Option<Object>)]
    detail: Option<serde_json::Value>,
}

impl From<SignalRow> for SignalView {
    fn from(row: SignalRow) -> Self {
        Self {
            output: row.output,
            value: row.value,
            category: row.category,
            detail: row.detail.and_then(|text| serde_json::from_str(&text).ok()),
        }
    }
}

/// What became of an interaction under each evaluation.
#[derive(Serialize, ToSchema)]
pub struct Fates {
    /// Each evaluation that takes from production.
    evaluations: Vec<EvaluationFate>,
}

/// Ask what became of an interaction, and why it was not scored
#[utoipa::path(get, path = "/v1/interactions/{id}/evaluations", tag = "production",
    params(("id" = String, Path)),
    responses((status = 200, body = Fates), (status = 404, body = Problem)))]
pub async fn evaluations(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Fates>, Problem> {
    let evaluations = api.app.runner.fates(InteractionId::of_name(&name)).await?;
    Ok(Json(Fates { evaluations }))
}
