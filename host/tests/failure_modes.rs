//! How answers fail: classifiers over a run, and the distribution that they give.

mod support;

use assay::domain::run::RunState;
use assay::runner::{FailureModeShare, FailureModes, FailuresBy};
use serde_json::{Value, json};
use support::{app, evaluation, finished, reference_set};

fn line(key: &str, class: &str, answer: Value) -> String {
    let mut line = json!({
        "key": key, "query": "Where is my parcel?", "request_class": class, "expected": "It is on its way.",
    });
    line.as_object_mut().expect("an object").extend(answer.as_object().expect("an object").clone());
    line.to_string()
}

fn mode<'a>(found: &'a FailureModes, group: Option<&str>, mode: &str) -> Option<&'a FailureModeShare> {
    let group =
        found.groups.iter().find(|found| found.group.as_deref() == group).expect("the group is there");
    group.modes.iter().find(|found| found.failure_mode == mode)
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_distributed_over_modes_and_those_that_nobody_knows_are_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    let mut lines: Vec<_> = (0..20)
        .map(|at| line(&format!("good {at}"), "orders", json!({"actual": "It is on its way."})))
        .collect();
    for at in 0..4 {
        let refusal = "I'm sorry, but I cannot help with that request.";
        lines.push(line(&format!("refused {at}"), "orders", json!({"actual": refusal})));
    }
    for at in 0..3 {
        lines.push(line(&format!("error {at}"), "returns", json!({"error": "upstream answered 500"})));
    }
    lines.push(line("empty", "returns", json!({"actual": ""})));
    for at in 0..2 {
        let wrong = "Your parcel was eaten by a dog.";
        lines.push(line(&format!("wrong {at}"), "returns", json!({"actual": wrong})));
    }
    reference_set(&app, "set", lines.join("\n")).await;
    let definition = json!({
        "name": "support",
        "source": {"reference_set": "set"},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
        "classifiers": [{"plugin": "failure-modes"}],
        "completion": {"output": "equals", "at_least": 1},
    });
    let id = evaluation(&app, definition).await;
    let run = app.runner.start(id).await.expect("started");
    let run = finished(&app, run).await;
    assert!(matches!(run.state, RunState::Finished { .. }), "{:?}", run.state);

    let found = app.runner.failure_modes(run.id, Some(FailuresBy::Class)).await.expect("counted");
    let all = &found.groups[0];
    assert_eq!((found.failures_are, all.answers, all.failures.n), ("not_completed", 30, 10));
    let counts: Vec<_> =
        all.modes.iter().map(|mode| (mode.failure_mode.as_str(), mode.of_failures.n)).collect();
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 10, "each counts once: {counts:?}");
    for (name, count) in [("refusal", 4), ("error", 3), ("empty", 1), ("unclassified", 2)] {
        assert_eq!(mode(&found, None, name).map(|mode| mode.of_failures.n), Some(count), "{counts:?}");
    }
    // scipy.stats.binomtest(4, 10).proportion_ci(.95, method="wilson"), SciPy 1.17.1.
    let refusals = mode(&found, None, "refusal").expect("it is there");
    let interval = refusals.of_failures.interval.expect("ten failures");
    assert!((interval.low - 0.168_180_329_708_353_7).abs() < 1e-9, "{interval:?}");
    assert_eq!(refusals.classifier.as_deref(), Some("failure-modes"));
    assert!(refusals.examples.iter().all(|key| key.starts_with("refused")), "{:?}", refusals.examples);
    let unknown = mode(&found, None, "unclassified").expect("it is there");
    assert_eq!((unknown.examples.len(), &unknown.classifier), (2, &None));
    assert_eq!(mode(&found, Some("orders"), "error"), None);
    assert_eq!(mode(&found, Some("returns"), "error").map(|mode| mode.of_failures.n), Some(3));

    // A missing answer is nothing for a scorer, and something for a classifier.
    let result = app.runner.result(run.id).await.expect("a result");
    let skipped: u64 = result.scorers[0].skipped.iter().map(|row| row.count).sum();
    assert_eq!((skipped, result.scorers[1].skipped.len(), result.scorers[1].failed.len()), (4, 0, 0));
    let replay = app.runner.replay(run.id).await.expect("replayed");
    assert_eq!((replay.answers, replay.different), (30, 0), "{:?}", replay.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_completion_rule_what_is_labelled_is_a_failure() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    let lines =
        [line("a", "x", json!({"actual": "Fine, it is there."})), line("b", "x", json!({"actual": ""}))];
    reference_set(&app, "set", lines.join("\n")).await;
    let definition = json!({
        "name": "labels alone",
        "source": {"reference_set": "set"},
        "classifiers": [{"plugin": "failure-modes", "config": {"off": ["refusal"]}}],
    });
    let id = evaluation(&app, definition).await;
    let run = app.runner.start(id).await.expect("started");
    finished(&app, run).await;
    let found = app.runner.failure_modes(run, None).await.expect("counted");
    assert_eq!((found.failures_are, found.groups[0].failures.n), ("labelled", 1));
    assert_eq!(mode(&found, None, "empty").map(|mode| mode.examples.clone()), Some(vec!["b".to_owned()]));
}
