//! Latency, tokens and cache of production: rolled up once, in the right hour,
//! and within the stated error of the exact figures.

mod support;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use assay::domain::clock::Timestamp;
use assay::domain::ids::InteractionId;
use assay::domain::interaction::{Interaction, Timing, Usage};
use assay::domain::latency::{Dimension, HOUR_US, Metric};
use assay::domain::production::{Origin, ProductionInteraction};
use assay::domain::slice::Slice;
use assay::stats::{RELATIVE_ERROR, nearest_rank};
use assay::store::{
    Arrival, ArrivalRules, AssembledTrace, CacheGroup, Grouping, KeyPart, LatencyGroup, NewInteraction,
    Store, TraceWaits,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};
use support::real_data;

const RULES: ArrivalRules =
    ArrivalRules { idle_gap_us: HOUR_US / 2, waits: TraceWaits { settle_us: 0, rootless_us: 0 } };
/// 2026-01-02T03:00:00Z.
const START: i64 = 1_767_322_800_000_000;

/// The `index`-th of some requests, no two of them alike: spread over hours, templates,
/// models, lengths and cache states, some of them failed or broken off.
fn request(index: u64) -> ProductionInteraction {
    let noise = index.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) % 1000;
    let hit = index % 3 == 1;
    let first_token_us = 150_000 + noise * 400 - if hit { 60_000 } else { 0 };
    let output = 1 + noise % 300;
    let input = 100 + noise * 7;
    let named = |prefix: &str, of: u64| Some(format!("{prefix}{}", index % of));
    ProductionInteraction {
        id: InteractionId::of_key(&index.to_string()),
        started_at: Timestamp(START + (index % 5) as i64 * HOUR_US + index as i64 * 1000),
        interaction: Interaction {
            query: "q".into(),
            actual: "a".into(),
            template: named("template-", 4),
            template_version: named("v", 2),
            model: named("model-", 3),
            request_class: named("class-", 2).filter(|_| !index.is_multiple_of(7)),
            error: (index % 50 == 49).then(|| "timeout".to_owned()),
            timing: Timing {
                total_us: Some(first_token_us + output * 20_000),
                first_token_us: Some(first_token_us).filter(|_| !index.is_multiple_of(11)),
                streamed: Some(!index.is_multiple_of(13)),
                ..Timing::default()
            },
            usage: Usage {
                input: Some(input).filter(|_| !index.is_multiple_of(17)),
                output: Some(output),
                cached_input: [Some(0), Some(input / 2), None][(index % 3) as usize],
                ..Usage::default()
            },
            ..Interaction::default()
        },
        origin: Origin {
            user: named("user-", 9),
            tenant: named("tenant-", 2),
            partial: index % 40 == 39,
            ..Origin::default()
        },
    }
}

fn new(from: ProductionInteraction) -> NewInteraction {
    NewInteraction::new(from, Timestamp(START), None)
}

async fn insert(store: &Store, requests: impl IntoIterator<Item = ProductionInteraction>) {
    let arrivals = requests.into_iter().map(|request| Arrival::Interaction(Box::new(new(request)))).collect();
    store.arrivals_insert(arrivals, Timestamp(START), RULES).await.expect("written");
}

fn open(folder: &Path) -> Store {
    Store::open(&folder.join("assay.db")).expect("the database opens")
}

async fn roll_up_all(store: &Store, limit: u32) -> u64 {
    let mut all = 0;
    loop {
        match store.latency_roll_up(limit).await.expect("rolled up") {
            0 => return all,
            some => all += some,
        }
    }
}

fn all(by: &[Dimension]) -> Grouping {
    Grouping { slice: Slice::default(), by: by.to_vec() }
}

/// Everything that the cells tell, without the last digits of sums, which the
/// order of addition moves.
async fn everything(store: &Store) -> String {
    let by = &Dimension::ALL[..7];
    let mut text = String::new();
    for metric in Metric::ALL {
        let figures = store.latency_groups(metric, all(by)).await.expect("answered");
        for LatencyGroup { key, counts, values } in figures.groups {
            let ranks: Vec<_> = (1..=values.sketch.count()).map(|rank| values.value_at_rank(rank)).collect();
            let mean = values.sketch.mean().map(|mean| format!("{mean:.6}"));
            let first = &counts.first_token;
            writeln!(
                text,
                "{metric:?} {key:?} {mean:?} {ranks:?} {:?} {:.3} {:.1}",
                (counts.requests, counts.failed, counts.partial, counts.input_tokens, counts.cached_tokens),
                first.mean,
                first.squares
            )
            .expect("a string grows");
        }
    }
    text
}

#[tokio::test]
async fn a_restart_in_the_middle_counts_nothing_twice_and_misses_nothing() {
    let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let at_once = open(whole.path());
    insert(&at_once, (0..3000).map(request)).await;
    assert_eq!(roll_up_all(&at_once, 100_000).await, 3000);
    let expected = everything(&at_once).await;

    for (index, chunk) in (0..3000).collect::<Vec<u64>>().chunks(700).enumerate() {
        let store = open(parts.path());
        insert(&store, chunk.iter().copied().map(request)).await;
        store.latency_roll_up(311 + index as u32).await.expect("rolled up");
    }
    let store = open(parts.path());
    roll_up_all(&store, 97).await;
    assert_eq!(everything(&store).await, expected);
    let figures = store.latency_groups(Metric::Total, all(&[])).await.expect("answered");
    assert_eq!((figures.groups[0].counts.requests, figures.pending), (3000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn roll_ups_at_the_same_time_count_each_interaction_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    insert(&store, (0..2000).map(request)).await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { roll_up_all(&store, 50).await })
        })
        .collect();
    let mut passed = 0;
    for task in tasks {
        passed += task.await.expect("it ends");
    }
    passed += roll_up_all(&store, 50).await;
    let figures = store.latency_groups(Metric::Total, all(&[])).await.expect("answered");
    assert_eq!((passed, figures.groups[0].counts.requests), (2000, 2000));
}

#[tokio::test]
async fn late_data_goes_to_the_hour_in_which_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    insert(&store, (0..1000).map(request)).await;
    roll_up_all(&store, 1000).await;
    let hours = async || {
        let figures = store.latency_groups(Metric::Total, all(&[Dimension::Hour])).await.expect("answered");
        let count = |group: LatencyGroup| match group.key[0] {
            KeyPart::From(from) => ((from.0 - START) / HOUR_US, group.counts.requests),
            _ => panic!("not an hour"),
        };
        figures.groups.into_iter().map(count).collect::<Vec<_>>()
    };
    assert_eq!(hours().await, [(0, 200), (1, 200), (2, 200), (3, 200), (4, 200)]);
    let mut late = request(5000);
    late.started_at = Timestamp(START + 2 * HOUR_US + 1);
    let mut very_late = request(5001);
    very_late.started_at = Timestamp(START - 30 * HOUR_US);
    insert(&store, [late, very_late]).await;
    assert_eq!(roll_up_all(&store, 1000).await, 2);
    assert_eq!(hours().await, [(-30, 1), (0, 200), (1, 200), (2, 201), (3, 200), (4, 200)]);

    // A slice of two and a half hours is widened to full ones, and says so.
    let slice = Slice {
        from: Some(Timestamp(START + HOUR_US / 2)),
        to: Some(Timestamp(START + 3 * HOUR_US)),
        ..Slice::default()
    };
    let grouping = Grouping { slice, by: Vec::new() };
    let figures = store.latency_groups(Metric::Total, grouping).await.expect("answered");
    assert_eq!(figures.groups[0].counts.requests, 601);
    assert_eq!(figures.from, Some(Timestamp(START)));
    assert_eq!(figures.to, Some(Timestamp(START + 3 * HOUR_US)));
}

/// What figures without hours tell, in the coarsest and in the finest cells.
async fn everything_by_day(store: &Store, slice: &Slice) -> String {
    let finest: Vec<_> = Dimension::ALL.into_iter().filter(|by| *by != Dimension::Hour).collect();
    let mut text = String::new();
    for by in [finest, vec![Dimension::Template, Dimension::InputLength, Dimension::Day], Vec::new()] {
        for metric in Metric::ALL {
            let grouping = Grouping { slice: slice.clone(), by: by.clone() };
            let figures = store.latency_groups(metric, grouping).await.expect("answered");
            for LatencyGroup { key, counts, values } in figures.groups {
                let bins: Vec<_> = values.sketch.bins().collect();
                let (mean, max) =
                    (values.sketch.mean().map(|mean| format!("{mean:.6}")), values.sketch.max());
                let tokens = (counts.requests, counts.failed, counts.input_tokens, counts.first_token.n);
                writeln!(text, "{metric:?} {key:?} {mean:?} {max:?} {bins:?} {tokens:?}")
                    .expect("a string grows");
            }
        }
    }
    text
}

#[tokio::test]
async fn days_that_are_added_up_tell_what_their_hours_tell_also_when_these_change() {
    const DAY_US: i64 = 24 * HOUR_US;
    let over_days = |index: u64| {
        let mut request = request(index);
        request.started_at.0 += (index % 4) as i64 * DAY_US;
        request
    };
    let (added_up, by_hours) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (store, plain) = (open(added_up.path()), open(by_hours.path()));
    // The fourth day is not over.
    let now = Timestamp(START + 3 * DAY_US + HOUR_US);
    let slices = [
        Slice::default(),
        Slice { model: Some("model-1".into()), ..Slice::default() },
        Slice { template: Some("template-2".into()), ..Slice::default() },
        Slice {
            from: Some(Timestamp(START + 2 * HOUR_US)),
            to: Some(Timestamp(START + 2 * DAY_US + 3 * HOUR_US)),
            ..Slice::default()
        },
    ];
    let same = async |what: &str| {
        for slice in &slices {
            let (found, expected) =
                (everything_by_day(&store, slice).await, everything_by_day(&plain, slice).await);
            assert_eq!(found, expected, "{what}, {slice:?}");
        }
    };
    let build = async || {
        let changed = store.latency_days_changed(now).await.expect("read");
        for day in &changed {
            store.latency_day_build(*day).await.expect("added up");
        }
        changed.len()
    };
    for store in [&store, &plain] {
        insert(store, (0..3000).map(over_days)).await;
        roll_up_all(store, 700).await;
    }
    assert_eq!(build().await, 3);
    assert_eq!(build().await, 0);
    same("added up").await;

    // One comes late, and one has a revision.
    for store in [&store, &plain] {
        let mut late = request(5000);
        late.started_at = Timestamp(START + 2 * HOUR_US + 1);
        insert(store, [late]).await;
        store.traces_assembled(vec![assembled(9, 9_000_000_000)], RULES.idle_gap_us).await.expect("written");
        roll_up_all(store, 700).await;
    }
    same("changed since").await;
    assert_eq!(build().await, 1);
    same("added up again").await;
    for store in [&store, &plain] {
        store.traces_assembled(vec![assembled(9, 7_000_000_000)], RULES.idle_gap_us).await.expect("written");
        roll_up_all(store, 700).await;
        for stale in store.latency_stale_hours().await.expect("answered") {
            store.latency_recount(stale).await.expect("counted");
        }
    }
    same("counted again").await;

    // One that changes while it is added up is not taken for added up.
    let changed = store.latency_days_changed(now).await.expect("read");
    for store in [&store, &plain] {
        insert(store, [over_days(6000)]).await;
        roll_up_all(store, 700).await;
    }
    store.latency_day_build(changed[0]).await.expect("given up");
    assert_eq!(store.latency_days_changed(now).await.expect("read").len(), 1);
    same("changed meanwhile").await;
    assert_eq!(build().await, 1);
    same("added up at last").await;

    // The days are really read: without their hours the answers are the same.
    let database = rusqlite::Connection::open(added_up.path().join("assay.db")).expect("opened");
    let hours = (START / DAY_US * 24, (START / DAY_US + 3) * 24);
    let gone =
        database.execute("DELETE FROM latency_block WHERE hour >= ?1 AND hour < ?2", hours).expect("deleted");
    assert!(gone > 100, "{gone}");
    for slice in &slices[..3] {
        assert_eq!(
            everything_by_day(&store, slice).await,
            everything_by_day(&plain, slice).await,
            "{slice:?}"
        );
    }
}

/// One trace with one interaction that took so long.
fn assembled(trace: u8, total_us: u64) -> AssembledTrace {
    let mut from = request(u64::from(trace));
    from.id = InteractionId::of_span(&[trace; 16], &[1; 8]);
    from.interaction.error = None;
    from.origin.partial = false;
    from.interaction.timing.total_us = Some(total_us);
    AssembledTrace {
        id: [trace; 16],
        last_received_at: Timestamp(START),
        interactions: vec![new(from)],
        late_scores: Vec::new(),
    }
}

#[tokio::test]
async fn what_a_revision_replaced_stops_counting_when_its_hour_is_counted_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    insert(&store, (1000..1500).map(request)).await;
    let first: Vec<_> = (0..10).map(|trace| assembled(trace, 9_000_000_000)).collect();
    store.traces_assembled(first, RULES.idle_gap_us).await.expect("written");
    roll_up_all(&store, 400).await;
    assert_eq!(store.latency_stale_hours().await.expect("answered"), []);

    // Half of them are revised after they were counted, and again before.
    for total_us in [8_000_000_000, 7_000_000_000] {
        let revised = (0..5).map(|trace| assembled(trace, total_us)).collect();
        assert_eq!(store.traces_assembled(revised, RULES.idle_gap_us).await.expect("written"), 5);
    }
    roll_up_all(&store, 400).await;
    let total = async || {
        let figures = store.latency_groups(Metric::Total, all(&[])).await.expect("answered");
        let group = &figures.groups[0];
        let slow = |least: f64| {
            group.values.sketch.bins().filter(|bin| assay::stats::Sketch::bin_low(bin.key) > least).count()
        };
        (group.counts.requests, group.values.sketch.max(), slow(6.5e9), figures.stale_hours)
    };
    // Both revisions count until then, and the answer tells how many hours are concerned.
    assert_eq!(total().await, (515, Some(9e9), 2, 5));
    for stale in store.latency_stale_hours().await.expect("answered") {
        store.latency_recount(stale).await.expect("counted");
    }
    assert_eq!(total().await, (510, Some(9e9), 2, 0));

    // It is as if the last revisions had come at once.
    let counted_again = everything(&store).await;
    let other = tempfile::tempdir().expect("a folder");
    let fresh = open(other.path());
    insert(&fresh, (1000..1500).map(request)).await;
    let last = |trace| assembled(trace, if trace < 5 { 7_000_000_000 } else { 9_000_000_000 });
    fresh.traces_assembled((0..10).map(last).collect(), RULES.idle_gap_us).await.expect("written");
    roll_up_all(&fresh, 400).await;
    assert_eq!(counted_again, everything(&fresh).await);
}

#[tokio::test]
async fn what_a_revision_replaced_while_its_hour_was_counted_again_keeps_it_stale() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    store.traces_assembled(vec![assembled(1, 1), assembled(6, 1)], RULES.idle_gap_us).await.expect("written");
    roll_up_all(&store, 400).await;
    store.traces_assembled(vec![assembled(1, 2)], RULES.idle_gap_us).await.expect("written");
    let stale = store.latency_stale_hours().await.expect("answered");
    // As if it had come between the reading of the hour and the writing of its blocks.
    store.traces_assembled(vec![assembled(6, 2)], RULES.idle_gap_us).await.expect("written");
    store.latency_recount(stale[0]).await.expect("counted");
    let still = store.latency_stale_hours().await.expect("answered");
    assert_eq!(still.len(), 1);
    assert_ne!(still, stale);
    store.latency_recount(still[0]).await.expect("counted");
    assert_eq!(store.latency_stale_hours().await.expect("answered"), []);
    roll_up_all(&store, 400).await;
    let figures = store.latency_groups(Metric::Total, all(&[])).await.expect("answered");
    assert_eq!((figures.groups[0].counts.requests, figures.groups[0].values.sketch.max()), (2, Some(2.0)));
}

#[tokio::test]
async fn what_is_missing_failed_or_broken_off_is_counted_and_not_taken_for_a_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    insert(&store, (0..2000).map(request)).await;
    roll_up_all(&store, 1000).await;
    let requests: Vec<_> = (0..2000).map(request).collect();
    let of = |count: fn(&ProductionInteraction) -> bool| {
        requests.iter().filter(|request| count(request)).count() as u64
    };
    let answered = |request: &ProductionInteraction| request.interaction.error.is_none();
    let failed = of(|request| request.interaction.error.is_some());
    assert_eq!(failed, 40);
    let expected = [
        (Metric::Total, of(|it| it.interaction.error.is_none() && !it.origin.partial)),
        (
            Metric::FirstToken,
            of(|it| it.interaction.error.is_none() && it.interaction.timing.first_token_us.is_some()),
        ),
        (
            Metric::TokensPerSecond,
            of(|it| {
                let Interaction { timing, usage, error, .. } = &it.interaction;
                error.is_none()
                    && timing.streamed == Some(true)
                    && timing.first_token_us.is_some()
                    && usage.output > Some(1)
            }),
        ),
        (
            Metric::InputTokens,
            of(|it| it.interaction.error.is_none() && it.interaction.usage.input.is_some()),
        ),
        (Metric::OutputTokens, of(|it| it.interaction.error.is_none() && !it.origin.partial)),
        (Metric::FailedTotal, failed),
    ];
    for (metric, n) in expected {
        let figures = store.latency_groups(metric, all(&[])).await.expect("answered");
        let LatencyGroup { counts, values, .. } = &figures.groups[0];
        assert_eq!((counts.requests, counts.failed), (2000, failed), "{metric:?}");
        assert_eq!(values.sketch.count(), n, "{metric:?}");
    }
    let per_token = store.latency_groups(Metric::TimePerOutputToken, all(&[])).await.expect("answered");
    let rate = store.latency_groups(Metric::TokensPerSecond, all(&[])).await.expect("answered");
    assert_eq!(per_token.groups[0].values.sketch.count(), rate.groups[0].values.sketch.count());

    let cache = store.cache_groups(all(&[])).await.expect("answered");
    let CacheGroup { counts, hits, misses, unknown, .. } = &cache.groups[0];
    let sent = |cached: fn(u64) -> bool| {
        requests
            .iter()
            .filter(|request| answered(request) && request.interaction.usage.cached_input.is_some_and(cached))
            .count() as u64
    };
    assert_eq!((*hits, *misses), (sent(|cached| cached > 0), sent(|cached| cached == 0)));
    assert_eq!(hits + misses + unknown, 2000 - failed);
    // Requests without a number of input tokens are hits or misses, but have no share of tokens.
    assert!(counts.with_tokens < hits + misses);
}

#[tokio::test]
async fn more_cached_tokens_than_input_tokens_are_flagged_and_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let with = |index, input, cached| {
        let mut request = request(index);
        request.interaction.error = None;
        request.interaction.usage =
            Usage { input: Some(input), cached_input: Some(cached), ..Usage::default() };
        request
    };
    insert(&store, [with(1, 1000, 250), with(2, 1000, 0), with(3, 10, 5000)]).await;
    roll_up_all(&store, 10).await;
    let figures = store.cache_groups(all(&[])).await.expect("answered");
    let counts = &figures.groups[0].counts;
    assert_eq!((counts.with_tokens, counts.input_tokens, counts.cached_tokens), (2, 2000, 250));
    assert_eq!((counts.inconsistent, figures.groups[0].hits), (1, 2));
}

#[tokio::test]
async fn slices_by_user_and_tenant_are_exact_and_agree_with_the_cells() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    insert(&store, (0..4000).map(request)).await;
    roll_up_all(&store, 1000).await;
    let by = [Dimension::Template, Dimension::InputLength];
    let slice = |user: Option<&str>, tenant: Option<&str>| Grouping {
        slice: Slice { user: user.map(Into::into), tenant: tenant.map(Into::into), ..Slice::default() },
        by: by.to_vec(),
    };
    for (user, tenant) in
        [(Some("user-3"), None), (None, Some("tenant-1")), (Some("user-3"), Some("tenant-1"))]
    {
        let figures = store.latency_groups(Metric::Total, slice(user, tenant)).await.expect("answered");
        assert!(figures.exact);
        let mut seen = 0;
        for LatencyGroup { key, counts, values } in &figures.groups {
            let mut expected: Vec<f64> = (0..4000)
                .map(request)
                .filter(|it| {
                    let Interaction { template, usage, error, .. } = &it.interaction;
                    let length = assay::domain::latency::LengthBucket::of(usage.input);
                    user.is_none_or(|user| it.origin.user.as_deref() == Some(user))
                        && tenant.is_none_or(|tenant| it.origin.tenant.as_deref() == Some(tenant))
                        && *key == [KeyPart::Name(template.clone()), KeyPart::InputLength(length)]
                        && error.is_none()
                        && !it.origin.partial
                })
                .filter_map(|it| it.interaction.timing.total_us.map(|us| us as f64))
                .collect();
            expected.sort_by(f64::total_cmp);
            assert_eq!(values.exact.as_ref(), Some(&expected));
            seen += counts.requests;
        }
        let among = (0..4000).map(request).filter(|it| {
            let Origin { user: of_user, tenant: of_tenant, .. } = &it.origin;
            user.is_none_or(|user| of_user.as_deref() == Some(user))
                && tenant.is_none_or(|tenant| of_tenant.as_deref() == Some(tenant))
        });
        assert_eq!(seen, among.count() as u64);
    }
    let stranger = store.latency_groups(Metric::Total, slice(Some("nobody"), None)).await.expect("answered");
    assert!(stranger.groups.is_empty());

    // Both tenants together are all requests, and the cells tell the same of them.
    let cells = store.cache_groups(all(&by)).await.expect("answered");
    let mut tokens = [0, 0];
    for (place, tenant) in ["tenant-0", "tenant-1"].into_iter().enumerate() {
        let rows = store.cache_groups(slice(None, Some(tenant))).await.expect("answered");
        tokens[place] = rows.groups.iter().map(|group| group.counts.cached_tokens).sum::<u64>();
    }
    assert!(tokens.iter().all(|tokens| *tokens > 0));
    assert_eq!(
        tokens[0] + tokens[1],
        cells.groups.iter().map(|group| group.counts.cached_tokens).sum::<u64>()
    );
}

/// The JSON's floats, cut to what the platform's logarithms agree on.
fn rounded(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let exact = number.as_f64().expect("a float");
            *value = json!(format!("{exact:.4}").parse::<f64>().expect("a number"));
        }
        Value::Array(values) => values.iter_mut().for_each(rounded),
        Value::Object(members) => members.values_mut().for_each(rounded),
        _ => {}
    }
}

/// Sends interactions as JSON lines.
async fn send(daemon: &Daemon, interactions: impl Iterator<Item = Value>) {
    let lines: Vec<String> = interactions.map(|interaction| interaction.to_string()).collect();
    for chunk in lines.chunks(4000) {
        let request = daemon.request(Method::POST, "/v1/interactions").body(chunk.join("\n"));
        let received = answer(request, StatusCode::OK).await;
        assert_eq!(received["accepted"], chunk.len(), "{}", received["rejected"]);
    }
}

/// Waits until the daemon has rolled up everything.
async fn rolled_up(daemon: &Daemon) {
    for _ in 0..600 {
        if daemon.get("/v1/cache").await["pending"] == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("interactions wait for a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_rolls_up_what_it_receives_and_answers_over_http() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path());
    send(
        &daemon,
        (0..120_u64).map(|index| {
            let hit = index % 2 == 0;
            let first = 100_000 + index * 1000 - if hit { 50_000 } else { 0 };
            json!({
                "id": index.to_string(), "query": "q", "actual": "a", "user": format!("u{}", index % 4),
                "template": if index < 60 { "greeting" } else { "refund" }, "model": "m",
                "started_at": format!("2026-01-02T0{}:30:00Z", 3 + index % 3),
                "timing": {"total_us": first + 2_000_000, "first_token_us": first, "streamed": true},
                "usage": {"input": 300 + index, "output": 101, "cached_input": if hit { 256 } else { 0 }},
            })
        }),
    )
    .await;
    rolled_up(&daemon).await;
    for (name, path) in [
        (
            "latency",
            "/v1/latency?metric=first_token&group_by=template,input_length&from=2026-01-02T03:10:00Z",
        ),
        ("latency_of_a_user", "/v1/latency?metric=total&group_by=hour&user=u1&template=refund"),
        ("latency_rate", "/v1/latency?metric=tokens_per_second"),
        ("histogram", "/v1/latency/histogram?metric=total&group_by=cache&buckets=8"),
        ("heatmap", "/v1/latency/heatmap?metric=first_token&by=hour&buckets=5"),
        ("cache", "/v1/cache?group_by=template"),
    ] {
        let mut found = daemon.get(path).await;
        rounded(&mut found);
        insta::assert_json_snapshot!(name, found);
    }
    for (path, detail) in [
        ("/v1/latency?metric=total&group_by=color", "group_by: there is no `color`"),
        ("/v1/latency?metric=total&group_by=hour,hour", "`hour` stands there twice"),
        ("/v1/latency?metric=total&templat=x", "unknown field `templat`"),
        ("/v1/latency?metric=speed", "speed"),
        ("/v1/latency", "metric"),
        ("/v1/latency/histogram?metric=total&buckets=1000", "`buckets` is 1000; it is 3 to 200"),
        ("/v1/latency/heatmap?metric=total&by=week", "week"),
        ("/v1/cache?from=yesterday", "from: input contains invalid characters"),
    ] {
        let refused = answer(daemon.request(Method::GET, path), StatusCode::BAD_REQUEST).await;
        let told = refused["detail"].as_str().expect("a detail");
        assert!(told.contains(detail), "{path}: {told}");
    }
}

/// The value at a rank by the nearest-rank rule.
fn exact(values: &mut [f64], p: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = nearest_rank(p, values.len() as u64).expect("there are values");
    values[rank as usize - 1]
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_of_azures_tokens_are_within_the_stated_error() {
    let Some(data) = real_data("azure-llm-2023") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path());
    let mut services = Vec::new();
    for service in ["code", "conv"] {
        let text = fs::read_to_string(data.join(format!("AzureLLMInferenceTrace_{service}.csv")))
            .expect("the data is readable");
        let rows: Vec<(String, u64, u64)> = text
            .lines()
            .skip(1)
            .map(|line| {
                let cells: Vec<_> = line.split(',').collect();
                let at = cells[0].replace(' ', "T") + "Z";
                (at, cells[1].parse().expect("a count"), cells[2].parse().expect("a count"))
            })
            .collect();
        send(
            &daemon,
            rows.iter().enumerate().map(|(index, (at, input, output))| {
                json!({"id": format!("{service} {index}"), "started_at": at, "template": service,
                       "actual": "a", "usage": {"input": input, "output": output}})
            }),
        )
        .await;
        services.push((service, rows));
    }
    assert_eq!((services[0].1.len(), services[1].1.len()), (8_819, 19_366));
    rolled_up(&daemon).await;
    for metric in ["input_tokens", "output_tokens"] {
        let view = daemon.get(&format!("/v1/latency?metric={metric}&group_by=template")).await;
        assert_eq!(view["relative_error"], RELATIVE_ERROR);
        for (place, (service, rows)) in services.iter().enumerate() {
            let group = &view["groups"][place];
            assert_eq!((&group["key"]["template"], &group["n"]), (&json!(service), &json!(rows.len())));
            let column =
                |row: &(String, u64, u64)| (if metric == "input_tokens" { row.1 } else { row.2 }) as f64;
            let mut values: Vec<_> = rows.iter().map(column).collect();
            for (name, p) in [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)] {
                let found = &group["quantiles"][name];
                let (value, exact) = (found["value"].as_f64().expect("a value"), exact(&mut values, p));
                assert!(
                    (value - exact).abs() <= exact * RELATIVE_ERROR * (1.0 + 1e-9),
                    "{service} {metric} {name}: {value} is not {exact}"
                );
                let (low, high) =
                    (found["low"].as_f64().expect("many"), found["high"].as_f64().expect("many"));
                assert!(low <= value && value <= high, "{found}");
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            assert!((group["mean"].as_f64().expect("a mean") / mean - 1.0).abs() < 1e-9);
            assert_eq!(group["max"].as_f64(), values.last().copied());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mooncakes_cached_tokens_are_counted_and_any_hit_says_nothing() {
    const BLOCK: u64 = 512;
    let Some(data) = real_data("mooncake") else { return };
    let text = fs::read_to_string(data.join("conversation_trace.jsonl")).expect("the data is readable");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let tokens = |row: &Value, name: &str| row[name].as_u64().expect("a count");

    // A cache that never forgets: a block is there if it came before. A block's id tells of
    // all before it in the request, so a hit is always a hit of the whole prefix.
    let mut cache: HashSet<u64> = HashSet::new();
    let (mut blocks, mut hit_blocks, mut expected) = (0, 0, 0);
    let mut interactions = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let ids: Vec<u64> =
            row["hash_ids"].as_array().expect("ids").iter().map(|id| id.as_u64().expect("an id")).collect();
        let hits = ids.iter().take_while(|id| cache.contains(*id)).count() as u64;
        assert_eq!(hits, ids.iter().filter(|id| cache.contains(*id)).count() as u64);
        cache.extend(&ids);
        // The last block is not full, and no more tokens are cached than there are.
        let cached = (hits * BLOCK).min(tokens(row, "input_length"));
        (blocks, hit_blocks, expected) = (blocks + ids.len() as u64, hit_blocks + hits, expected + cached);
        let at = Timestamp(START + row["timestamp"].as_i64().expect("milliseconds") * 1000);
        interactions.push(json!({
            "id": index.to_string(), "started_at": at.to_string(), "actual": "a",
            "usage": {"input": tokens(row, "input_length"), "output": tokens(row, "output_length"),
                      "cached_input": cached},
        }));
    }
    assert_eq!(format!("{:.4}", hit_blocks as f64 / blocks as f64), "0.3664");

    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path());
    send(&daemon, interactions.into_iter()).await;
    rolled_up(&daemon).await;
    for (metric, mean) in [("input_tokens", "12035"), ("output_tokens", "343")] {
        let view = daemon.get(&format!("/v1/latency?metric={metric}")).await;
        assert_eq!(view["groups"][0]["n"], 12_031);
        assert_eq!(format!("{:.0}", view["groups"][0]["mean"].as_f64().expect("a mean")), mean);
    }
    let view = daemon.get("/v1/cache").await;
    let group = &view["groups"][0];
    let input: u64 = rows.iter().map(|row| tokens(row, "input_length")).sum();
    assert_eq!((&group["input_tokens"], &group["cached_tokens"]), (&json!(input), &json!(expected)));
    // The share of tokens is not the share of blocks: a request's last block counts as whole among the blocks,
    // though it is not full, and it is mostly among those that miss. Up to the few last blocks that hit:
    let share = group["cached_token_share"].as_f64().expect("a share");
    let of_full_blocks = (hit_blocks * BLOCK) as f64 / input as f64;
    assert!(share < of_full_blocks && share > of_full_blocks - 0.001, "{share} {of_full_blocks}");
    assert_eq!(format!("{share:.4}"), "0.3736");
    // All but the first request share a block.
    assert_eq!((&group["hits"], &group["misses"]), (&json!(12_030), &json!(1)));
    assert_eq!(group["first_token"], Value::Null);
}
