//! Extractors read sessions: each session has its outcome, and one that a
//! plugin fails on fails alone.

mod support;

use assay::domain::evaluation::Scorer;
use assay::domain::plugin::{Cause, PluginErrorKind, Value};
use assay::protocol::{JobEvent, JobItem};
use assay::runner::{ReadyExtractor, RunnerError};
use assay::workers::Workers;
use serde_json::json;
use support::{app, artifact, call, component, install, session, settings};

async fn extractor(app: &assay::app::App, plugin: &str, config: serde_json::Value) -> ReadyExtractor {
    let wanted: Scorer = serde_json::from_value(json!({"plugin": plugin, "config": config})).expect("valid");
    app.runner.prepare_extractor(&wanted, "").await.expect("an extractor")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_hands_sessions_over_and_answers_for_each() {
    let workers = Workers::start(settings()).await.expect("workers start");
    let plugin = artifact(&workers, &component("repeated-question")).await;
    let mut unreadable = session("c", &["a", "b"]);
    unreadable.interactions[1].answer = "not JSON".into();
    let mut eventful = session("d", &["a"]);
    eventful.user = Some("someone".into());
    eventful.events.push(JobEvent {
        at_us: 1,
        kind: "rated".into(),
        interaction_id: Some("0".into()),
        value_json: Some("1".into()),
    });
    let sessions =
        [session("a", &["Why?", "why? "]), session("b", &["Why?", "How?", "Why?"]), unreadable, eventful];
    let calls = vec![call(&plugin, "{}"), call(&plugin, r#"{"surplus":1}"#)];
    let outcome = workers.extract(sessions.into(), calls).await.expect("the worker lives");
    let answers = outcome[0].as_ref().expect("no trap");
    let values: Vec<_> =
        answers.iter().map(|answer| answer.as_ref().map(|signals| signals[0].value.clone())).collect();
    assert_eq!((&values[0], &values[1]), (&Ok(Value::Boolean(true)), &Ok(Value::Boolean(false))));
    let refused = values[2].as_ref().expect_err("it cannot be read");
    assert_eq!(refused.kind, PluginErrorKind::BadInput);
    assert!(refused.message.starts_with("interaction `1`: the stored answer cannot be read"), "{refused:?}");
    assert_eq!(values[3], Ok(Value::Boolean(false)));
    assert_eq!(outcome[1].as_ref().expect("no trap").len(), 4);

    let scorer = artifact(&workers, &component("text")).await;
    let outcome =
        workers.extract([session("a", &["q"])].into(), vec![call(&scorer, "{}")]).await.expect("it lives");
    let failure = outcome[0].as_ref().expect_err("it is no extractor");
    assert_eq!(failure.unscored.cause, Cause::NotLoaded);
    assert!(failure.unscored.message.contains("exports no `extraction`"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_interactions_count_for_its_deadline() {
    let workers = Workers::start(settings()).await.expect("workers start");
    let plugin = artifact(&workers, &component("hostile")).await;
    let outcome = workers
        .extract([session("a", &["poison"; 400])].into(), vec![call(&plugin, r#"{"how":"loop"}"#)])
        .await
        .expect("the worker lives");
    let failure = outcome[0].as_ref().expect_err("it loops");
    assert_eq!(failure.unscored.message, "no answer within 1302 ms", "500 + 2 × 401");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_poison_session_fails_and_with_the_right_cause() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "hostile").await;
    let cases = [
        ("panic", Cause::Trap, "the item is poison"),
        ("loop", Cause::Timeout, "no answer within 506 ms"),
        ("allocate", Cause::OutOfMemory, "256 MiB"),
        ("wrong-length", Cause::WrongShape, "answered 0 sessions of 1"),
        ("undeclared", Cause::WrongShape, "`surprise-too` was not declared"),
        ("nan", Cause::WrongShape, "another kind"),
        ("foreign", Cause::WrongShape, "which the session does not have"),
        ("twice", Cause::WrongShape, "given twice"),
        ("error", Cause::Internal, "a fault of my own"),
        ("skip", Cause::Unsupported, "not my kind of item"),
    ];
    for (how, cause, message) in cases {
        let extractor = extractor(&app, "hostile", json!({"how": how, "on": "poison"})).await;
        let outputs: Vec<_> = extractor.pinned().outputs.iter().map(|output| output.name.as_str()).collect();
        assert_eq!(outputs, ["fine-too"], "its scorer's output is not among them");
        let sessions: Vec<_> = (0..600)
            .map(|index| {
                let second = if index == 123 { "poison" } else { "plain" };
                session(&index.to_string(), &["plain", second])
            })
            .collect();
        let outcomes = app.runner.extract(&extractor, sessions).await;
        assert_eq!(outcomes.len(), 600);
        for (index, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Err(why) => {
                    assert_eq!((index, why.cause), (123, cause), "{how}: {why:?}");
                    assert!(why.message.contains(message), "{how}: {why:?}");
                }
                Ok(signals) => {
                    assert_ne!(index, 123, "{how}");
                    let ids: Vec<_> = signals.iter().map(|signal| signal.interaction_id.as_deref()).collect();
                    assert_eq!(ids, [Some("0"), Some("1")]);
                    assert_eq!((signals[0].output, signals[0].value), (0, Some(1.0)));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extractor_that_fails_on_every_session_is_given_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "hostile").await;
    let extractor = extractor(&app, "hostile", json!({"how": "panic"})).await;
    let sessions: Vec<_> = (0..3000).map(|index| session(&index.to_string(), &["q"])).collect();
    let outcomes = app.runner.extract(&extractor, sessions).await;
    let count = |cause| {
        outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(|why| why.cause == cause)).count()
    };
    assert_eq!(count(Cause::Trap) + count(Cause::PluginUnhealthy), 3000);
    assert!((10..100).contains(&count(Cause::Trap)), "{}", count(Cause::Trap));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_too_large_is_skipped_and_its_neighbours_are_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "repeated-question").await;
    let extractor = extractor(&app, "repeated-question", json!({})).await;
    let mut large = session("large", &["q"]);
    large.interactions.push(JobItem {
        id: "1".into(),
        item: json!({"query": "x".repeat(5 << 20)}).to_string(),
        answer: "{}".into(),
    });
    let sessions = vec![session("a", &["q", "q"]), large, session("b", &["q"]), session("c", &[])];
    let outcomes = app.runner.extract(&extractor, sessions).await;
    let values: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().map(|signals| signals[0].value).map_err(|why| why.cause))
        .collect();
    assert_eq!(values, [Ok(Some(1.0)), Err(Cause::TooLarge), Ok(Some(0.0)), Ok(Some(0.0))]);
    assert!(app.runner.extract(&extractor, Vec::new()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_extractor_judges_interactions_in_its_sandbox() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "behaviour").await;
    let extractor = extractor(&app, "behaviour", json!({"client_reports": ["copied", "rated"]})).await;
    let outputs: Vec<_> = extractor.pinned().outputs.iter().map(|output| output.name.clone()).collect();
    let mut sessions: Vec<_> = (0..600)
        .map(|index| {
            session(&index.to_string(), &["refund status", "What is the status of my refund?", "Bye"])
        })
        .collect();
    let event = |kind: &str, interaction: &str, value: Option<&str>| JobEvent {
        at_us: 1,
        kind: kind.into(),
        interaction_id: Some(interaction.into()),
        value_json: value.map(Into::into),
    };
    sessions[300].events =
        vec![event("rated", "1", Some("\"down\"")), event("copied", "2", None), event("copied", "9", None)];
    let outcomes = app.runner.extract(&extractor, sessions).await;
    let given = |session: usize, output: &str| -> Vec<Option<f64>> {
        let signals = outcomes[session].as_ref().expect("extracted");
        let value = |id: &str| {
            let wanted = |signal: &&assay::runner::CheckedSignal| {
                outputs[signal.output] == output && signal.interaction_id.as_deref() == Some(id)
            };
            signals.iter().find(wanted).and_then(|signal| signal.value)
        };
        ["0", "1", "2"].map(value).to_vec()
    };
    for session in [0, 300, 599] {
        assert_eq!(given(session, "rephrase"), [Some(1.0), Some(0.0), Some(0.0)]);
    }
    assert_eq!(given(300, "copy"), [Some(0.0), Some(0.0), Some(1.0)]);
    assert_eq!(given(300, "thumbs"), [None, Some(-1.0), None]);
    assert_eq!(given(300, "dissatisfied"), [Some(1.0), Some(1.0), Some(0.0)]);
    assert_eq!(given(599, "dissatisfied"), [Some(1.0), Some(0.0), Some(0.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_extractor_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "text").await;
    for (wanted, path) in [("text", "/extractors/0/plugin"), ("nobody", "/extractors/0/plugin")] {
        let wanted: Scorer = serde_json::from_value(json!({ "plugin": wanted })).expect("valid");
        let refused = app.runner.prepare_extractor(&wanted, "/extractors/0").await.expect_err("no extractor");
        let RunnerError::Definition(problems) = refused else { panic!("{refused}") };
        assert_eq!(problems[0].path, path);
    }
}
