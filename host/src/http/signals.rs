//! What users showed, over HTTP.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::extract::{Json, Query, SliceQuery};
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::ids::EvaluationId;
use crate::domain::slice::Slice;
use crate::runner::{DivergenceQuestion, DivergenceReport, SignalReport};
use crate::store::SignalGroup;

/// A day, and the fortnight before it that it is compared with.
const NOW_US: i64 = 24 * 3_600 * 1_000_000;
const BASELINE_US: i64 = 14 * NOW_US;

/// How signals are grouped.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SignalQuery {
    /// `all`, `request_class`, `template` or `day`.
    #[param(inline)]
    group_by: Option<SignalGroup>,
}

/// Get rates and means of behavioural signals
///
/// Clustered by user, else by session.
#[utoipa::path(get, path = "/v1/signals", tag = "production", params(Slice, SignalQuery),
    responses((status = 200, body = SignalReport), (status = 400, body = Problem)))]
pub async fn signals(
    State(api): State<Api>,
    SliceQuery { slice, rest }: SliceQuery<SignalQuery>,
) -> Result<Json<SignalReport>, Problem> {
    let group = rest.group_by.unwrap_or(SignalGroup::All);
    Ok(Json(api.app.runner.signals(slice, group).await?))
}

/// What a divergence is asked about.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DivergenceQuery {
    /// The evaluation, over production.
    evaluation: EvaluationId,
    /// Which of its outputs: `output` or `scorer.output`.
    output: String,
    /// The signal to compare with; `dissatisfied` where it is missing.
    signal: Option<String>,
    /// `all`, `request_class`, `template` or `day`.
    #[param(inline)]
    group_by: Option<SignalGroup>,
    /// Where what is compared begins; a day before `to` where it is missing.
    from: Option<Timestamp>,
    /// Where it ends; now where it is missing.
    to: Option<Timestamp>,
    /// Where the baseline begins, which ends at `from`; 14 days before it where
    /// it is missing.
    baseline_from: Option<Timestamp>,
}

/// Compare scores with what users showed
///
/// Standardised change in score less standardised change in satisfaction,
/// against the baseline, over the same visits.
#[utoipa::path(get, path = "/v1/divergence", tag = "production", params(DivergenceQuery),
    responses((status = 200, body = DivergenceReport), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 422, body = Problem)))]
pub async fn divergence(
    State(api): State<Api>,
    Query(query): Query<DivergenceQuery>,
) -> Result<Json<DivergenceReport>, Problem> {
    let to = query.to.unwrap_or_else(|| api.app.clock.now());
    let from = query.from.unwrap_or(Timestamp(to.0 - NOW_US));
    let baseline_from = query.baseline_from.unwrap_or(Timestamp(from.0 - BASELINE_US));
    if !(baseline_from < from && from < to) {
        let told = "`baseline_from` is before `from`, and `from` before `to`";
        return Err(Problem::invalid(told, Vec::new()));
    }
    let question = DivergenceQuestion {
        evaluation: query.evaluation,
        output: query.output,
        signal: query.signal.unwrap_or_else(|| "dissatisfied".to_owned()),
        group: query.group_by.unwrap_or(SignalGroup::All),
        baseline_from,
        from,
        to,
    };
    Ok(Json(api.app.runner.divergence(question).await?))
}
