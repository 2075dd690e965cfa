//! How fast production answers: percentiles by whatever tells requests apart.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Json, SliceQuery};
use super::grouping::{GroupBy, KeyView, Window, is_provisional, key_view};
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::latency::{CONFIDENCE, Dimension, Metric, Unit};
use crate::domain::slice::Slice;
use crate::stats::{RELATIVE_ERROR, nearest_rank, quantile_ranks};
use crate::store::{Distribution, Grouping, LatencyGroup};

/// What is measured.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LatencyQuery {
    /// What is measured of each request.
    metric: Metric,
    /// What tells groups apart, separated by commas: `template`,
    /// `template_version`, `model`, `request_class`, `input_length` (buckets in powers
    /// of two of input tokens), `cache`, `hour`, `day` (UTC). Without it all
    /// requests are one group.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "template,input_length")]
    group_by: GroupBy,
}

/// Percentiles of one metric.
#[derive(Serialize, ToSchema)]
pub struct LatencyView {
    /// What is measured.
    metric: Metric,
    /// What its values are counted in.
    unit: Unit,
    /// `sketch`: percentiles are within `relative_error` of the exact ones.
    /// `exact`: they are the exact ones.
    method: &'static str,
    /// How far a percentile may be from the exact one, relative to it. This is
    /// not the interval, which tells how far chance may have moved it.
    relative_error: f64,
    /// Confidence of the intervals.
    confidence: f64,
    /// Of when the figures tell.
    #[serde(flatten)]
    window: Window,
    /// The groups, in the order of their keys.
    groups: Vec<LatencyGroupView>,
}

/// Requests that are alike.
#[derive(Serialize, ToSchema)]
pub struct LatencyGroupView {
    /// What they have in common.
    #[schema(value_type = Object)]
    key: KeyView,
    /// How many there are.
    requests: u64,
    /// Those that failed. They are in no figure but `failed_total`.
    failed: u64,
    /// Those whose stream broke off: their total time and number of output
    /// tokens are not known.
    partial: u64,
    /// Those with a value: what the figures below are of.
    n: u64,
    /// Those that could have a value and have none.
    missing: u64,
    /// Whether the group is of an hour or day that is not over.
    provisional: bool,
    /// Mean of the values, exactly.
    mean: Option<f64>,
    /// The largest value, exactly.
    max: Option<f64>,
    /// Percentiles by nearest rank.
    quantiles: Quantiles,
}

/// Percentiles by nearest rank.
#[derive(Serialize, ToSchema)]
pub struct Quantiles {
    p50: Quantile,
    p90: Quantile,
    p95: Quantile,
    p99: Quantile,
}

/// A percentile, and between which values that of all such requests lies,
/// whatever their distribution. An end that so few values cannot bound is
/// missing. The requests are taken for independent.
#[derive(Serialize, ToSchema)]
pub struct Quantile {
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

impl Quantile {
    fn of(values: &Distribution, p: f64) -> Self {
        let n = values.sketch.count();
        let at = |rank: Option<u64>| rank.and_then(|rank| values.value_at_rank(rank));
        let (low, high) = quantile_ranks(p, n, CONFIDENCE);
        Self { value: at(nearest_rank(p, n)), low: at(low), high: at(high) }
    }
}

impl LatencyGroupView {
    fn of(group: &LatencyGroup, metric: Metric, by: &[Dimension], now: Timestamp) -> Self {
        let LatencyGroup { key, counts, values } = group;
        let n = values.sketch.count();
        let could = if metric == Metric::FailedTotal { counts.failed } else { counts.answered() };
        Self {
            key: key_view(by, key),
            requests: counts.requests,
            failed: counts.failed,
            partial: counts.partial,
            n,
            missing: could.saturating_sub(n),
            provisional: is_provisional(by, key, now),
            mean: values.sketch.mean(),
            max: values.sketch.max(),
            quantiles: Quantiles {
                p50: Quantile::of(values, 0.50),
                p90: Quantile::of(values, 0.90),
                p95: Quantile::of(values, 0.95),
                p99: Quantile::of(values, 0.99),
            },
        }
    }
}

/// Percentiles of latency and length
///
/// Median, p90, p95, p99, mean, largest value and counts of one metric, by
/// group. Slices by user, tenant or service version are answered exactly, from
/// up to 200,000 interactions.
#[utoipa::path(get, path = "/v1/latency", tag = "production", params(LatencyQuery, Slice),
    responses(
        (status = 200, body = LatencyView), (status = 400, body = Problem),
        (status = 422, body = Problem, description = "Too many groups or interactions"),
    ))]
pub async fn latency(
    State(api): State<Api>,
    SliceQuery { slice, rest: query }: SliceQuery<LatencyQuery>,
) -> Result<Json<LatencyView>, Problem> {
    let metric = query.metric;
    let by = query.group_by.0;
    let grouping = Grouping { slice, by: by.clone() };
    let figures = api.app.store.latency_groups(metric, grouping).await?;
    let now = api.app.clock.now();
    Ok(Json(LatencyView {
        metric,
        unit: metric.unit(),
        method: if figures.exact { "exact" } else { "sketch" },
        relative_error: if figures.exact { 0.0 } else { RELATIVE_ERROR },
        confidence: CONFIDENCE,
        window: Window::from(&figures),
        groups: figures.groups.iter().map(|group| LatencyGroupView::of(group, metric, &by, now)).collect(),
    }))
}
