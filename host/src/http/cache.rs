//! How the prompt cache serves production.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::extract::{Json, SliceQuery};
use super::grouping::{GroupQuery, KeyView, Window, is_provisional, key_view};
use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::latency::{CONFIDENCE, Dimension};
use crate::domain::slice::Slice;
use crate::stats::Interval;
use crate::store::{CacheGroup, Grouping};

/// How the prompt cache served requests.
#[derive(Serialize, ToSchema)]
pub struct CacheView {
    /// Confidence of the intervals.
    confidence: f64,
    /// Of when the figures tell.
    #[serde(flatten)]
    window: Window,
    /// The groups, in the order of their keys.
    groups: Vec<CacheGroupView>,
}

/// Requests that are alike.
#[derive(Serialize, ToSchema)]
pub struct CacheGroupView {
    /// What they have in common.
    #[schema(value_type = Object)]
    key: KeyView,
    /// How many there are.
    requests: u64,
    /// Those that failed. They are in no other figure.
    failed: u64,
    /// Whether the group is of an hour or day that is not over.
    provisional: bool,
    /// Share of the input tokens that were cached: the figure to go by.
    cached_token_share: Option<f64>,
    /// Requests whose tokens it counts: those with both numbers known.
    with_tokens: u64,
    /// Their input tokens, the cached ones included.
    input_tokens: u64,
    /// Their cached input tokens.
    cached_tokens: u64,
    /// Requests with more cached tokens than input tokens: the client counts
    /// wrongly, and their tokens are left out.
    inconsistent: u64,
    /// Share of the requests with any cached token among those of which it is
    /// known. Says little where all requests begin with the same system prompt.
    any_cached_share: Option<f64>,
    /// Requests with a cached token.
    hits: u64,
    /// Requests without one.
    misses: u64,
    /// Requests of which the client does not say.
    unknown: u64,
    /// What a hit changes in the time to first token; none where no stratum has
    /// two hits and two misses.
    first_token: Option<FirstTokenDifference>,
    /// Strata with any time to first token.
    strata: u64,
}

/// Mean time to first token of requests with a cached token minus that of those
/// without, compared within strata.
#[derive(Serialize, ToSchema)]
pub struct FirstTokenDifference {
    /// Always `association`: what is cached was not drawn by lot.
    kind: &'static str,
    /// What requests of a stratum have in common.
    within: [&'static str; 4],
    /// The difference in microseconds; negative where hits are faster.
    difference_us: f64,
    /// Its interval; none where the times do not vary.
    interval_us: Option<Interval>,
    /// Strata with at least two hits and two misses: the others say nothing.
    strata: u64,
    /// Hits in them.
    hits: u64,
    /// Misses in them.
    misses: u64,
}

impl CacheGroupView {
    fn of(group: &CacheGroup, by: &[Dimension], now: Timestamp) -> Self {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let CacheGroup { key, counts, hits, misses, unknown, difference, strata } = group;
        Self {
            key: key_view(by, key),
            requests: counts.requests,
            failed: counts.failed,
            provisional: is_provisional(by, key, now),
            cached_token_share: share(counts.cached_tokens, counts.input_tokens),
            with_tokens: counts.with_tokens,
            input_tokens: counts.input_tokens,
            cached_tokens: counts.cached_tokens,
            inconsistent: counts.inconsistent,
            any_cached_share: share(*hits, hits + misses),
            hits: *hits,
            misses: *misses,
            unknown: *unknown,
            first_token: difference.as_ref().map(|difference| FirstTokenDifference {
                kind: "association",
                within: ["hour", "template", "model", "input_length"],
                difference_us: difference.difference,
                interval_us: difference.interval,
                strata: difference.strata,
                hits: difference.first,
                misses: difference.second,
            }),
            strata: *strata,
        }
    }
}

/// How the prompt cache serves production
///
/// The share of input tokens that were cached, the share of requests with any
/// cached token, and the difference in time to first token between requests with
/// and without one, by group.
#[utoipa::path(get, path = "/v1/cache", tag = "production", params(GroupQuery, Slice),
    responses(
        (status = 200, body = CacheView), (status = 400, body = Problem),
        (status = 422, body = Problem, description = "Too many groups or interactions"),
    ))]
pub async fn cache(
    State(api): State<Api>,
    SliceQuery { slice, rest: query }: SliceQuery<GroupQuery>,
) -> Result<Json<CacheView>, Problem> {
    let by = query.group_by.0;
    let grouping = Grouping { slice, by: by.clone() };
    let figures = api.app.store.cache_groups(grouping).await?;
    let now = api.app.clock.now();
    Ok(Json(CacheView {
        confidence: CONFIDENCE,
        window: Window::from(&figures),
        groups: figures.groups.iter().map(|group| CacheGroupView::of(group, &by, now)).collect(),
    }))
}
