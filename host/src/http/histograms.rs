//! How latencies are distributed: histograms, and heat maps over time.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Json, SliceQuery};
use super::grouping::{GroupBy, KeyView, Window, is_provisional, key_view};
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::latency::{Dimension, Metric, Unit};
use crate::domain::slice::Slice;
use crate::stats::Sketch;
use crate::store::{Grouping, KeyPart, LatencyGroup};

const BUCKETS_DEFAULT: u32 = 40;
/// With fewer, values below and above 1 could not be told apart.
const BUCKETS_MIN: u32 = 3;
const BUCKETS_MAX: u32 = 200;

/// What is counted, and how finely.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistogramQuery {
    /// What is measured of each request.
    metric: Metric,
    /// The most buckets: 3 to 200, 40 if missing.
    #[param(minimum = 3, maximum = 200)]
    buckets: Option<u32>,
    /// What tells groups apart, separated by commas: `template`,
    /// `template_version`, `model`, `request_class`, `input_length` (buckets in powers
    /// of two of input tokens), `cache`, `hour`, `day` (UTC). Without it all
    /// requests are one group.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "template,input_length")]
    group_by: GroupBy,
}

/// What is counted, how finely and over which time.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HeatmapQuery {
    /// What is measured of each request.
    metric: Metric,
    /// The most buckets: 3 to 200, 40 if missing.
    #[param(minimum = 3, maximum = 200)]
    buckets: Option<u32>,
    /// What a row stands for.
    #[serde(default)]
    #[param(inline)]
    by: RowOf,
}

/// What a row of a heat map stands for, UTC.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowOf {
    #[default]
    Hour,
    Day,
}

/// How many values lie between edges, by group.
#[derive(Serialize, ToSchema)]
pub struct HistogramView {
    /// What is measured.
    metric: Metric,
    /// What its values are counted in.
    unit: Unit,
    /// Of when the figures tell.
    #[serde(flatten)]
    window: Window,
    /// Ends of the buckets, in ascending order: one more than there are buckets.
    /// They grow by a constant factor, but for a first bucket of zeros.
    edges: Vec<f64>,
    /// The groups, in the order of their keys.
    groups: Vec<HistogramGroup>,
}

/// The values of one group.
#[derive(Serialize, ToSchema)]
pub struct HistogramGroup {
    /// What the requests have in common.
    #[schema(value_type = Object)]
    key: KeyView,
    /// Requests with a value.
    n: u64,
    /// How many values each bucket has: from its lower edge up to, but without,
    /// its upper one.
    counts: Vec<u64>,
}

/// How many values lie between edges, by hour or day.
#[derive(Serialize, ToSchema)]
pub struct HeatmapView {
    /// What is measured.
    metric: Metric,
    /// What its values are counted in.
    unit: Unit,
    /// Of when the figures tell.
    #[serde(flatten)]
    window: Window,
    /// Ends of the buckets, as a histogram has them.
    edges: Vec<f64>,
    /// The hours or days with any request, in order.
    rows: Vec<HeatmapRow>,
}

/// The values of one hour or day.
#[derive(Serialize, ToSchema)]
pub struct HeatmapRow {
    /// When it begins.
    starts_at: Timestamp,
    /// Whether it is not over.
    provisional: bool,
    /// Requests with a value.
    n: u64,
    /// How many values each bucket has.
    counts: Vec<u64>,
}

/// Buckets that several sketches are counted into. Each is made of the same
/// number of the sketches' bins, so that no value is counted on the wrong side
/// of an edge.
struct Buckets {
    first: i32,
    bins: i32,
    count: usize,
    zeros: bool,
}

impl Buckets {
    fn over(groups: &[LatencyGroup], buckets_max: u32) -> Self {
        let sketches = || groups.iter().map(|group| &group.values.sketch);
        let zeros = sketches().any(|sketch| sketch.zeros() > 0);
        let keys = || sketches().flat_map(Sketch::bins).map(|bin| bin.key);
        let (Some(low), Some(high)) = (keys().min(), keys().max()) else {
            return Self { first: 0, bins: 1, count: 0, zeros };
        };
        // Edges are at multiples of a bucket's bins: they move little while data comes in.
        let buckets_max = buckets_max as i32 - i32::from(zeros);
        let mut bins = 1;
        while high.div_euclid(bins) - low.div_euclid(bins) >= buckets_max {
            bins += 1;
        }
        let first = low.div_euclid(bins);
        Self { first: first * bins, bins, count: (high.div_euclid(bins) - first + 1) as usize, zeros }
    }

    fn edges(&self) -> Vec<f64> {
        let end = |place| Sketch::bin_low(self.first + place * self.bins);
        let zero = self.zeros.then_some(0.0);
        match self.count {
            0 => zero.into_iter().chain(zero.map(|_| 1.0)).collect(),
            count => zero.into_iter().chain((0..=count as i32).map(end)).collect(),
        }
    }

    fn counts(&self, sketch: &Sketch) -> Vec<u64> {
        let offset = usize::from(self.zeros);
        let mut counts = vec![0; self.count + offset];
        if self.zeros {
            counts[0] = sketch.zeros();
        }
        for bin in sketch.bins() {
            counts[offset + ((bin.key - self.first) / self.bins) as usize] += bin.count;
        }
        counts
    }
}

fn buckets_max(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(BUCKETS_DEFAULT) {
        buckets @ BUCKETS_MIN..=BUCKETS_MAX => Ok(buckets),
        other => {
            Err(Problem::bad_request(format!("`buckets` is {other}; it is {BUCKETS_MIN} to {BUCKETS_MAX}")))
        }
    }
}

/// Histogram of latency or length
///
/// How many requests have a value between edges, by group. All groups have the
/// same edges.
#[utoipa::path(get, path = "/v1/latency/histogram", tag = "production",
    params(HistogramQuery, Slice),
    responses(
        (status = 200, body = HistogramView), (status = 400, body = Problem), (status = 422, body = Problem),
    ))]
pub async fn histogram(
    State(api): State<Api>,
    SliceQuery { slice, rest: query }: SliceQuery<HistogramQuery>,
) -> Result<Json<HistogramView>, Problem> {
    let (metric, buckets_max) = (query.metric, buckets_max(query.buckets)?);
    let by = query.group_by.0;
    let grouping = Grouping { slice, by: by.clone() };
    let figures = api.app.store.latency_groups(metric, grouping).await?;
    let buckets = Buckets::over(&figures.groups, buckets_max);
    let view = |group: &LatencyGroup| HistogramGroup {
        key: key_view(&by, &group.key),
        n: group.values.sketch.count(),
        counts: buckets.counts(&group.values.sketch),
    };
    Ok(Json(HistogramView {
        metric,
        unit: metric.unit(),
        window: Window::from(&figures),
        edges: buckets.edges(),
        groups: figures.groups.iter().map(view).collect(),
    }))
}

/// Heat map of latency or length over time
///
/// How many requests of each hour or day have a value between edges. Hours and
/// days without a request are left out.
#[utoipa::path(get, path = "/v1/latency/heatmap", tag = "production", params(HeatmapQuery, Slice),
    responses(
        (status = 200, body = HeatmapView), (status = 400, body = Problem), (status = 422, body = Problem),
    ))]
pub async fn heatmap(
    State(api): State<Api>,
    SliceQuery { slice, rest: query }: SliceQuery<HeatmapQuery>,
) -> Result<Json<HeatmapView>, Problem> {
    let (metric, buckets_max) = (query.metric, buckets_max(query.buckets)?);
    let by = vec![match query.by {
        RowOf::Hour => Dimension::Hour,
        RowOf::Day => Dimension::Day,
    }];
    let grouping = Grouping { slice, by: by.clone() };
    let figures = api.app.store.latency_groups(metric, grouping).await?;
    let buckets = Buckets::over(&figures.groups, buckets_max);
    let now = api.app.clock.now();
    let row = |group: &LatencyGroup| {
        let Some(KeyPart::From(starts_at)) = group.key.first() else { return None };
        Some(HeatmapRow {
            starts_at: *starts_at,
            provisional: is_provisional(&by, &group.key, now),
            n: group.values.sketch.count(),
            counts: buckets.counts(&group.values.sketch),
        })
    };
    Ok(Json(HeatmapView {
        metric,
        unit: metric.unit(),
        window: Window::from(&figures),
        edges: buckets.edges(),
        rows: figures.groups.iter().filter_map(row).collect(),
    }))
}
