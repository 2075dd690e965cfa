//! Two runs beside each other, over HTTP.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Api;
use super::extract::{Json, Query};
use super::problem::Problem;
use crate::domain::ids::RunId;
use crate::runner::{Comparison, ComparisonQuestion};

/// Two points.
const DIFFERENCE: f64 = 0.02;

/// What is compared.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ComparisonQuery {
    /// The run that was there before.
    base: RunId,
    /// The run that is compared with it.
    candidate: RunId,
    /// `output` or `scorer.output`; task completion where it is missing.
    output: Option<String>,
    /// How many items does it take to see this difference? 0.02 where it is missing.
    #[param(exclusive_minimum = 0, maximum = 1)]
    difference: Option<f64>,
}

/// Compare two runs
///
/// Pair by pair where they share items, else as two groups. Differences are candidate less base.
#[utoipa::path(get, path = "/v1/comparison", tag = "runs", params(ComparisonQuery), responses(
    (status = 200, body = Comparison), (status = 400, body = Problem), (status = 404, body = Problem),
    (status = 422, body = Problem),
))]
pub async fn compare(
    State(api): State<Api>,
    Query(query): Query<ComparisonQuery>,
) -> Result<Json<Comparison>, Problem> {
    let difference = query.difference.unwrap_or(DIFFERENCE);
    if !(difference > 0.0 && difference <= 1.0) {
        return Err(Problem::bad_request(format!("a difference of {difference} is not in 0 to 1")));
    }
    let ComparisonQuery { base, candidate, output, .. } = query;
    let question = ComparisonQuestion { base, candidate, output, difference };
    Ok(Json(api.app.runner.compare(&question).await?))
}
