//! The contract holds in Python and in JavaScript: under the settings that are
//! kept, plugins load, score, print, are refused files and network in their
//! own language's terms, and obey the limits.

mod support;

use assay::domain::plugin::{Capability, Cause, Score, Value};
use assay::workers::Workers;
use support::{artifact, call, items, settings, try_component};

async fn check(name: &str, file_error: &str) {
    let Some(component) = try_component(name) else {
        eprintln!("skipped: {name} is not built, because its language is not installed");
        return;
    };
    let workers = Workers::start(settings()).await.expect("workers start");
    let plugin = artifact(&workers, &component).await;

    let described = workers.describe(&plugin).await.expect("describes itself");
    assert_eq!(
        (described.name.as_str(), described.capabilities.as_slice()),
        (name, &[Capability::Score][..])
    );
    let outputs = workers.configure(&plugin, "{}").await.expect("no trap").expect("a good configuration");
    assert_eq!(outputs[0].name, "good");
    let problems = workers.configure(&plugin, "{\"broken\":1}").await.expect("no trap").expect_err("refused");
    assert_eq!((problems[0].path.as_str(), problems[0].message.as_str()), ("/broken", "this is refused"));

    // One batch: what is refused to one item harms no other.
    let queries = ["plain", "print", "log", "open", "environment", "socket", "time", "skip", "plain"];
    let mut outcome = workers.score(items(&queries), vec![call(&plugin, "{}")]).await.expect("worker lives");
    let answers = outcome.remove(0).expect("no trap");
    let score = |index: usize| -> &Score { &answers[index].as_ref().expect("scored")[0] };
    for index in [0, 1, 2, 8] {
        assert_eq!(
            (&score(index).value, score(index).reason.as_deref()),
            (&Value::Boolean(true), Some("done"))
        );
    }
    let reason = |index: usize| score(index).reason.clone().unwrap_or_default();
    assert!(reason(3).contains(file_error), "open: {}", reason(3));
    assert!(!reason(4).contains("PATH"), "environment: {}", reason(4));
    assert!(reason(5).contains("Error"), "socket: {}", reason(5));
    assert!(answers[7].as_ref().is_err_and(|error| error.message == "not for me"));
    let first_time = reason(6);
    let again = workers.score(items(&["time"]), vec![call(&plugin, "{}")]).await.expect("worker lives");
    let again = again[0].as_ref().expect("no trap")[0].as_ref().expect("scored")[0].reason.clone();
    assert_eq!(again, Some(first_time), "clock and randomness repeat");

    for (query, cause) in [("loop", Cause::Timeout), ("allocate", Cause::OutOfMemory)] {
        let outcome = workers.score(items(&[query]), vec![call(&plugin, "{}")]).await.expect("worker lives");
        match &outcome[0] {
            Err(failure) => assert_eq!(failure.unscored.cause, cause, "{query}: {failure:?}"),
            // A language may turn a refused allocation into its own error.
            Ok(answers) => assert_eq!((query, answers.len()), ("allocate", 1), "{answers:?}"),
        }
    }
    let outcome = workers.score(items(&["plain"]), vec![call(&plugin, "{}")]).await.expect("worker lives");
    assert!(outcome[0].as_ref().expect("no trap")[0].is_ok(), "the next batch is right");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_plugin_scores_and_finds_nothing_outside() {
    check("in-python", "FileNotFoundError").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_javascript_plugin_scores_and_finds_nothing_outside() {
    check("in-javascript", "Error").await;
}
