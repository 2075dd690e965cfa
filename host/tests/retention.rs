//! What is old goes, in small steps, and what runs found stays.

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use assay::app::App;
use assay::config::{Config, Retention};
use assay::domain::clock::{Clock as _, ManualClock, SystemClock, Timestamp};
use assay::domain::slice::Slice;
use assay::ingest::{read_events, read_interactions};
use assay::store::LetGo;
use serde_json::{Value, json};
use support::{evaluation, finished, install, root};

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// Everything over a data directory, with a clock that tests set.
async fn app(data_dir: &Path) -> (App, ManualClock, Timestamp) {
    let now = SystemClock.now();
    let clock = ManualClock::at(now);
    let artifacts = root().join("target/test-artifacts");
    let config = Config { data_dir: data_dir.to_owned(), artifact_dir: Some(artifacts), ..Config::default() };
    let worker = env!("CARGO_BIN_EXE_assay").into();
    let app = App::open_with(&config, Arc::new(clock.clone()), Some(worker)).await.expect("the app opens");
    (app, clock, now)
}

/// Sends interactions `from..to`, the even ones 100 days old, two a session.
async fn send(app: &App, now: Timestamp, range: std::ops::Range<i64>) {
    let lines: String = range
        .map(|i| {
            let days = if i / 2 % 2 == 0 { 100 } else { 1 };
            let line = json!({
                "id": format!("i{i}"), "query": format!("q{i}"), "actual": if i % 5 == 0 { "no" } else { "yes" },
                "expected": ["yes"], "session": format!("s{}", i / 2), "user": format!("u{}", i / 8),
                "request_class": format!("c{}", i % 3), "started_at": now.0 - days * DAY_US + i,
            });
            format!("{line}\n")
        })
        .collect();
    let lines = read_interactions(lines.as_bytes(), now);
    assert!(lines.rejected.is_empty(), "{:?}", lines.rejected);
    app.ingest.interactions(lines.good).await.expect("taken");
}

async fn send_events(app: &App, now: Timestamp, count: i64) {
    let lines: String = (0..count)
        .map(|i| {
            let days = if i / 2 % 2 == 0 { 100 } else { 1 };
            let at = now.0 - days * DAY_US + i;
            format!(
                "{}\n",
                json!({"id": format!("e{i}"), "kind": "copied", "interaction": format!("i{i}"), "at": at})
            )
        })
        .collect();
    app.ingest.events(read_events(lines.as_bytes(), now).good).await.expect("taken");
}

fn count(data_dir: &Path, table: &str) -> i64 {
    let database = rusqlite::Connection::open(data_dir.join("assay.db")).expect("opened");
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("counted")
}

fn definition(source: Value) -> Value {
    json!({
        "name": "equal", "source": source, "completion": {"output": "equals", "at_least": 1},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
    })
}

/// A result as clients get it, without what says that it is kept.
async fn result(app: &App, run: assay::domain::ids::RunId) -> (Value, bool) {
    let result = app.runner.result(run).await.expect("a result");
    let frozen = result.frozen_at.is_some();
    let mut result = serde_json::to_value(result).expect("JSON");
    result.as_object_mut().expect("an object").remove("frozen_at");
    (result, frozen)
}

#[tokio::test(flavor = "multi_thread")]
async fn old_interactions_go_with_their_scores_and_the_runs_result_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let (app, clock, now) = app(data).await;
    install(&app, "text").await;
    send(&app, now, 0..1_200).await;
    send_events(&app, now, 1_200).await;
    let id = evaluation(&app, definition(json!({"production": {}}))).await;
    let run = app.runner.start(id).await.expect("started");
    finished(&app, run).await;
    let (before, frozen) = result(&app, run).await;
    assert!(!frozen);
    assert_eq!((count(data, "score"), count(data, "run_item")), (1_200, 1_200));

    let retention = Retention { interactions_days: Some(30), ..Retention::default() };
    let gone = app.runner.let_go_hourly(&retention).await.expect("let go");
    assert!(gone >= 600 * 3, "an interaction, its score and its item: {gone}");
    let left = app.store.interaction_count(Slice::default()).await.expect("counted");
    assert_eq!(left, 600);
    assert_eq!((count(data, "score"), count(data, "run_item")), (600, 600));
    let (after, frozen) = result(&app, run).await;
    assert!(frozen);
    assert_eq!(after, before);
    assert_eq!(count(data, "event"), 1_200, "events have days of their own");
    assert_eq!(count(data, "session"), 600);

    // Within the hour nothing is done again.
    send(&app, now, 1_200..1_204).await;
    assert_eq!(app.runner.let_go_hourly(&retention).await.expect("let go"), 0);
    clock.set(Timestamp(now.0 + DAY_US / 24));
    assert_eq!(app.runner.let_go_hourly(&retention).await.expect("let go"), 3, "two, and their session");

    let retention = Retention { events_days: Some(30), ..retention };
    app.runner.let_go(&retention).await.expect("let go");
    assert_eq!(count(data, "event"), 600);
    assert_eq!(count(data, "session"), 301, "a session in which nothing is left goes too");

    // Rows are never numbered anew: a run that follows would pass them over.
    let newest = app.store.interaction_last_row().await.expect("read");
    clock.set(Timestamp(now.0 + 200 * DAY_US));
    app.runner.let_go(&retention).await.expect("let go");
    assert_eq!(count(data, "interaction"), 0);
    send(&app, Timestamp(now.0 + 200 * DAY_US), 2_000..2_001).await;
    assert!(app.store.interaction_last_row().await.expect("read") > newest);
    assert_eq!(result(&app, run).await.0, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_open_run_takes_from_stays_until_it_is_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (app, _, now) = app(folder.path()).await;
    install(&app, "text").await;
    send(&app, now, 0..8).await;
    let id = evaluation(&app, definition(json!({"production": {"follow": true}}))).await;
    app.runner.keep_following().await.expect("a run is open");
    let run = loop {
        let open = app.store.run_list_open().await.expect("listed");
        if let Some(run) =
            open.into_iter().find(|run| run.evaluation == id && run.state.as_str() == "running")
        {
            break run.id;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    send(&app, now, 8..16).await;
    let before = Timestamp(now.0 - 30 * DAY_US);
    // The first eight came before the run.
    while app.store.interactions_let_go(before).await.expect("let go") != LetGo::Rows(0) {}
    assert_eq!(count(folder.path(), "interaction"), 12);
    app.runner.cancel(run).await.expect("cancelled");
    loop {
        match app.store.interactions_let_go(before).await.expect("let go") {
            LetGo::Rows(0) => break,
            LetGo::Rows(_) => {}
            LetGo::FiguresFirst(runs) => {
                assert_eq!(runs, [run]);
                app.store.run_figures_keep(run, "{}".into(), now).await.expect("kept");
            }
        }
    }
    assert_eq!(count(folder.path(), "interaction"), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_takes_no_more_than_a_thousand_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (app, _, now) = app(folder.path()).await;
    send(&app, now, 0..5_000).await;
    send_events(&app, now, 5_000).await;
    let before = Timestamp(now.0 + DAY_US);
    let mut steps = 0;
    while let LetGo::Rows(rows @ 1..) = app.store.interactions_let_go(before).await.expect("let go") {
        assert!(rows <= 1_002, "{rows}");
        steps += 1;
    }
    assert!(steps >= 5, "{steps}");
    loop {
        let rows = app.store.events_let_go(before).await.expect("let go");
        assert!(rows <= 1_002, "{rows}");
        if rows == 0 {
            break;
        }
    }
    for table in ["interaction", "event", "session"] {
        assert_eq!(count(folder.path(), table), 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_runs_lose_their_items_and_keep_their_figures() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let (app, clock, now) = app(data).await;
    install(&app, "text").await;
    let lines: String = (0..1_500)
        .map(|i| {
            format!(
                "{{\"query\":\"q{i}\",\"actual\":\"{}\",\"expected\":\"a\"}}\n",
                if i % 3 == 0 { "a" } else { "b" }
            )
        })
        .collect();
    support::reference_set(&app, "set", lines).await;
    let id = evaluation(&app, definition(json!({"reference_set": "set"}))).await;
    let run = app.runner.start(id).await.expect("started");
    finished(&app, run).await;
    let (before, _) = result(&app, run).await;
    let retention = Retention { runs_days: Some(7), ..Retention::default() };
    assert_eq!(app.runner.let_go(&retention).await.expect("let go"), 0);
    clock.set(Timestamp(now.0 + 8 * DAY_US));
    assert_eq!(app.runner.let_go(&retention).await.expect("let go"), 3_000, "items and scores");
    assert_eq!((count(data, "score"), count(data, "run_item"), count(data, "item")), (0, 0, 1_500));
    let (after, frozen) = result(&app, run).await;
    assert_eq!((after, frozen), (before, true));
    assert_eq!(app.runner.let_go(&retention).await.expect("let go"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_signals_go_and_are_not_extracted_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let now = SystemClock.now();
    let clock = ManualClock::at(now);
    let mut config = Config { data_dir: data.to_owned(), ..Config::default() };
    config.artifact_dir = Some(root().join("target/test-artifacts"));
    config.behaviour.extractors = vec![
        serde_json::from_value(json!({"plugin": "repeated-question", "config": {}})).expect("an extractor"),
    ];
    let worker = env!("CARGO_BIN_EXE_assay").into();
    let app = App::open_with(&config, Arc::new(clock.clone()), Some(worker)).await.expect("the app opens");
    install(&app, "repeated-question").await;
    send(&app, now, 0..40).await;
    app.store.sessions_close(now, 0, 0).await.expect("closed");
    app.runner.extract_due().await.expect("extracted");
    assert_eq!(count(data, "signal"), 20);
    let retention = Retention { signals_days: Some(10), ..Retention::default() };
    assert_eq!(app.runner.let_go(&retention).await.expect("let go"), 0);
    clock.set(Timestamp(now.0 + 11 * DAY_US));
    assert_eq!(app.runner.let_go(&retention).await.expect("let go"), 20);
    app.runner.extract_due().await.expect("extracted");
    assert_eq!((count(data, "signal"), count(data, "interaction")), (0, 40));
    assert_eq!(app.runner.let_go(&retention).await.expect("let go"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_shrinks_when_it_is_rewritten_and_not_while_a_daemon_works() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path();
    let vacuum = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.args(["--json", "--data-dir"]).arg(data).arg("vacuum").output().expect("the command runs")
    };
    let nothing = vacuum();
    assert_eq!(nothing.status.code(), Some(1));
    let (app, _, now) = app(data).await;
    send(&app, now, 0..5_000).await;
    while app.store.interactions_let_go(Timestamp(now.0 + DAY_US)).await.expect("let go") != LetGo::Rows(0) {}
    let held = vacuum();
    assert_eq!(held.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&held.stderr).contains("in use by another"), "{held:?}");
    drop(app);
    // The app's tasks let the data directory go a moment later.
    let done = loop {
        let done = vacuum();
        if done.status.success() || !String::from_utf8_lossy(&done.stderr).contains("in use") {
            break done;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let told: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
    let figure = |name: &str| told[name].as_u64().expect("a figure");
    assert!(figure("bytes_after") * 2 < figure("bytes_before"), "{told}");
    assert_eq!(std::fs::metadata(data.join("assay.db")).expect("it is there").len(), figure("bytes_after"));
}
