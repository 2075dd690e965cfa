//! Runs from recorded answers: every (item, scorer) has its outcome, a poison
//! item fails alone, and nothing is lost or doubled.

mod support;

use assay::domain::completion::Completion;
use assay::domain::plugin::Cause;
use assay::domain::run::RunState;
use assay::store::ItemFilter;
use serde_json::json;
use support::{app, evaluation, finished, install, reference_set};

fn lines(count: usize, poison: &[usize]) -> String {
    (0..count)
        .map(|index| {
            let query = if poison.contains(&index) { "poison" } else { "plain" };
            json!({"key": format!("k{index}"), "query": query, "actual": "good"}).to_string() + "\n"
        })
        .collect()
}

fn definition(how: &str) -> serde_json::Value {
    json!({
        "name": how,
        "source": {"reference_set": "set"},
        "scorers": [
            {"plugin": "hostile", "config": {"how": how, "on": "poison"}},
            {"plugin": "hostile", "name": "calm", "config": {"on": "nothing"}},
        ],
        "completion": {"output": "hostile.fine", "at_least": 1.0},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_poison_item_fails_and_with_the_right_cause() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "hostile").await;
    reference_set(&app, "set", lines(600, &[123])).await;
    let cases = [
        ("loop", Cause::Timeout),
        ("allocate", Cause::OutOfMemory),
        ("panic", Cause::Trap),
        ("wrong-length", Cause::WrongShape),
        ("undeclared", Cause::WrongShape),
        ("nan", Cause::WrongShape),
        ("error", Cause::Internal),
        ("skip", Cause::Unsupported),
    ];
    for (how, cause) in cases {
        let id = app.runner.start(evaluation(&app, definition(how)).await).await.expect("started");
        let run = finished(&app, id).await;
        assert!(matches!(run.state, RunState::Finished { .. }), "{how}: {:?}", run.state);
        assert_eq!((run.progress.total, run.progress.done), (600, 600));

        let filter = ItemFilter { cause: Some(cause), limit: 10, ..ItemFilter::default() };
        let failed = app.store.item_page(id, filter).await.expect("a page");
        assert_eq!(failed.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["k123"], "{how}");
        assert_eq!(failed[0].completion, Some(Completion::Undetermined));
        let (scorer, output, why) = &failed[0].unscored[0];
        assert_eq!((*scorer, *output, why.cause), (0, None, cause));
        if how == "panic" {
            assert!(why.message.contains("the item is poison"), "{}", why.message);
        }

        let result = app.runner.result(id).await.expect("a result");
        let completion = result.completion.expect("there is a rule");
        assert_eq!((completion.counts.completed, completion.counts.undetermined), (599, 1), "{how}");
        assert_eq!(result.scorers[0].outputs[0].scored, 599);
        assert_eq!(result.scorers[1].outputs[0].scored, 600, "the other scorer is untouched");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_on_every_item_is_given_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "hostile").await;
    reference_set(&app, "set", lines(3000, &(0..3000).collect::<Vec<_>>())).await;
    let id = app.runner.start(evaluation(&app, definition("panic")).await).await.expect("started");
    let run = finished(&app, id).await;
    assert!(matches!(run.state, RunState::Finished { .. }), "{:?}", run.state);
    let result = app.runner.result(id).await.expect("a result");
    let failed = &result.scorers[0].failed;
    let count = |cause| failed.iter().find(|row| row.cause == cause).map_or(0, |row| row.count);
    assert_eq!(count(Cause::Trap) + count(Cause::PluginUnhealthy), 3000);
    assert!((10..100).contains(&count(Cause::Trap)), "{failed:?}");
    assert_eq!(result.scorers[1].outputs[0].scored, 3000);
}

#[tokio::test(flavor = "multi_thread")]
async fn product_errors_and_missing_recordings_are_not_passed_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "hostile").await;
    let lines = [
        json!({"query": "plain", "actual": "good", "request_class": "a"}),
        json!({"query": "plain", "error": "HTTP 500", "request_class": "a"}),
        json!({"query": "plain", "actual": " "}),
        json!({"query": "plain"}),
    ];
    reference_set(&app, "set", lines.map(|line| line.to_string() + "\n").concat()).await;
    let id = app.runner.start(evaluation(&app, definition("no")).await).await.expect("started");
    finished(&app, id).await;
    let result = app.runner.result(id).await.expect("a result");
    let counts = result.completion.expect("there is a rule").counts;
    assert_eq!((counts.completed, counts.not_completed, counts.undetermined), (1, 2, 1));
    let skipped = &result.scorers[0].skipped;
    assert_eq!((skipped[0].cause, skipped[0].count), (Cause::NoAnswer, 3));
    let classes: Vec<_> = result.classes.iter().map(|class| class.request_class.as_str()).collect();
    assert_eq!(classes, ["unclassified", "a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_stops_at_once_and_keeps_what_is_committed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "hostile").await;
    reference_set(&app, "set", lines(500, &[0])).await;
    let id = app.runner.start(evaluation(&app, definition("loop")).await).await.expect("started");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let asked = std::time::Instant::now();
    assert!(app.runner.cancel(id).await.expect("cancelled"));
    let run = finished(&app, id).await;
    assert!(matches!(run.state, RunState::Cancelled { .. }), "{:?}", run.state);
    assert!(asked.elapsed() < std::time::Duration::from_secs(1));
    assert!(!app.runner.cancel(id).await.expect("over already"));

    // What cancelled runs had under way is free again for others.
    let many = evaluation(&app, definition("nan")).await;
    for pause_ms in 0..30 {
        let id = app.runner.start(many).await.expect("started");
        tokio::time::sleep(std::time::Duration::from_millis(pause_ms)).await;
        app.runner.cancel(id).await.expect("cancelled");
    }
    let calm = app.runner.start(evaluation(&app, definition("no")).await).await.expect("started");
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), finished(&app, calm)).await;
    assert!(matches!(ended.expect("it ends").state, RunState::Finished { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_plugin_that_loops_leave_the_workers_to_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "hostile").await;
    reference_set(&app, "set", lines(3000, &(0..3000).step_by(50).collect::<Vec<_>>())).await;
    let mut looping = Vec::new();
    for index in 0..8 {
        let mut bad = definition("loop");
        bad["name"] = json!(format!("loop-{index}"));
        let id = evaluation(&app, bad).await;
        looping.push(app.runner.start(id).await.expect("started"));
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let calm = app.runner.start(evaluation(&app, definition("no")).await).await.expect("started");
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), finished(&app, calm)).await;
    assert!(matches!(ended.expect("it ends").state, RunState::Finished { .. }));
    for id in looping {
        let state = app.store.run_get(id).await.expect("there").state;
        assert!(!state.is_over(), "it cannot be done with its poison yet: {state:?}");
        app.runner.cancel(id).await.expect("cancelled");
    }
}
