//! What is due starts, once; what was missed or overlaps follows its policy.

mod support;

use std::sync::Arc;

use assay::app::App;
use assay::domain::clock::{ManualClock, Timestamp};
use assay::domain::evaluation::Schedule;
use assay::domain::ids::EvaluationId;
use assay::domain::run::{RunState, Trigger};
use assay::runner::Runner;
use assay::scheduler::Scheduler;
use assay::store::RunFilter;
use serde_json::json;
use support::{app, evaluation, finished, install, reference_set};

fn at(text: &str) -> Timestamp {
    serde_json::from_value(json!(text)).expect("an instant")
}

struct Setting {
    app: App,
    scheduler: Scheduler,
    clock: ManualClock,
    evaluation: EvaluationId,
    _folder: tempfile::TempDir,
}

async fn setting(schedule: serde_json::Value, how: &str) -> Setting {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut app = app(folder.path()).await;
    install(&app, "hostile").await;
    reference_set(&app, "set", json!({"query": "q", "actual": "a"}).to_string()).await;
    let clock = ManualClock::at(at("2026-03-01T00:00:00Z"));
    let config = assay::config::Runner::default();
    let runner = Runner::new(
        app.store.clone(),
        app.catalogue.clone(),
        app.workers.clone(),
        Arc::new(clock.clone()),
        config,
        Vec::new(),
        app.judges.clone(),
    );
    app.runner = runner.clone();
    let scheduler = Scheduler::new(app.store.clone(), runner, Arc::new(clock.clone()));
    let definition = json!({
        "name": "nightly",
        "source": {"reference_set": "set"},
        "scorers": [{"plugin": "hostile", "config": {"how": how}}],
    });
    let evaluation = evaluation(&app, definition).await;
    let schedule: Schedule = serde_json::from_value(schedule).expect("a schedule");
    scheduler.set(evaluation, Some(schedule)).await.expect("set");
    Setting { app, scheduler, clock, evaluation, _folder: folder }
}

async fn states(setting: &Setting) -> Vec<RunState> {
    let filter = RunFilter { evaluation: Some(setting.evaluation), limit: 100, ..RunFilter::default() };
    let runs = setting.app.store.run_list(filter).await.expect("listed");
    assert!(runs.iter().all(|run| run.trigger == Trigger::Schedule));
    for run in &runs {
        if !run.state.is_over() {
            return vec![run.state.clone()];
        }
    }
    runs.into_iter().rev().map(|run| run.state).collect()
}

async fn settled(setting: &Setting) -> Vec<RunState> {
    loop {
        let states = states(setting).await;
        if states.iter().all(RunState::is_over) {
            return states;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_runs_once_and_the_schedule_moves_on() {
    let setting = setting(json!({"cron": "30 3 * * *", "time_zone": "Europe/Berlin"}), "no").await;
    assert_eq!(setting.scheduler.start_due().await.expect("asked"), 0);
    setting.clock.set(at("2026-03-01T02:30:00Z"));
    assert_eq!(setting.scheduler.start_due().await.expect("asked"), 1);
    assert_eq!(setting.scheduler.start_due().await.expect("asked"), 0, "no tick runs twice");
    assert_eq!(settled(&setting).await.len(), 1);
    let stored = setting.app.store.evaluation_get(setting.evaluation).await.expect("there");
    assert_eq!(stored.next_due_at, Some(at("2026-03-02T02:30:00Z")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_runs_no_tick_twice_and_loses_none_to_come() {
    let setting = setting(json!({"cron": "0 * * * *"}), "no").await;
    setting.clock.set(at("2026-03-01T05:00:10Z"));
    assert_eq!(setting.scheduler.start_due().await.expect("asked"), 1);
    assert_eq!(settled(&setting).await.len(), 1);
    for (now, started) in [
        ("2026-03-01T03:10:00Z", 0), // two hours back
        ("2026-03-01T05:00:00Z", 0), // the same tick again
        ("2026-03-01T06:00:00Z", 1), // the next one
        ("2026-03-09T00:30:00Z", 1), // eight days on: one run for all
        ("2026-03-09T01:00:00Z", 1),
    ] {
        setting.clock.set(at(now));
        assert_eq!(setting.scheduler.start_due().await.expect("asked"), started, "{now}");
        settled(&setting).await;
    }
    assert_eq!(settled(&setting).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_ticks_make_one_run_or_none() {
    let once = setting(json!({"cron": "0 * * * *"}), "no").await;
    once.clock.set(at("2026-03-04T11:30:00Z"));
    assert_eq!(once.scheduler.start_due().await.expect("asked"), 1);
    assert_eq!(settled(&once).await.len(), 1, "one run for three days");

    let none = setting(json!({"cron": "0 * * * *", "missed": "skip"}), "no").await;
    none.clock.set(at("2026-03-04T11:30:00Z"));
    none.scheduler.start_due().await.expect("asked");
    assert_eq!(settled(&none).await.len(), 0);
    none.clock.set(at("2026-03-04T12:00:01Z"));
    none.scheduler.start_due().await.expect("asked");
    assert_eq!(settled(&none).await.len(), 1, "the next tick is there for again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlapping_tick_is_skipped_with_its_reason_queued_or_cancels_the_old_run() {
    for (policy, expected) in [
        ("skip", ["finished", "skipped"]),
        ("queue", ["finished", "finished"]),
        ("cancel_old", ["cancelled", "finished"]),
    ] {
        // Each run takes as long as the plugin's deadline.
        let setting = setting(json!({"cron": "* * * * *", "overlap": policy}), "loop").await;
        setting.clock.set(at("2026-03-01T00:01:00Z"));
        setting.scheduler.start_due().await.expect("asked");
        setting.clock.set(at("2026-03-01T00:02:00Z"));
        setting.scheduler.start_due().await.expect("asked");
        let states = settled(&setting).await;
        assert_eq!(states.iter().map(RunState::as_str).collect::<Vec<_>>(), expected, "{policy}");
        if let RunState::Skipped { reason, .. } = &states[1] {
            assert!(reason.contains("still goes on"), "{reason}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_left_open_by_an_earlier_process_go_on() {
    let setting = setting(json!({"cron": "* * * * *"}), "no").await;
    // Kept, but never launched: as if the process had died in between.
    let definition = setting.app.store.evaluation_get(setting.evaluation).await.expect("there").definition;
    let id = assay::domain::ids::RunId::new();
    let new = assay::store::NewRun {
        id,
        evaluation: setting.evaluation,
        trigger: Trigger::Manual,
        state: RunState::Queued,
        definition,
        at: at("2026-03-01T00:00:00Z"),
        tick: None,
    };
    setting.app.store.run_insert(new).await.expect("kept");
    assert_eq!(setting.app.runner.resume().await.expect("resumed"), 1);
    assert!(matches!(finished(&setting.app, id).await.state, RunState::Finished { .. }));
}
