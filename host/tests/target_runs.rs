//! A run that asks a model: answers are kept before they are scored, a failing
//! product is not completed, and a refusing target ends the run.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assay::domain::run::RunState;
use assay::store::ItemFilter;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use support::{app, evaluation, finished, install, reference_set};

/// A model server on loopback: fails for `break`, answers `A: 3` else.
async fn model_server(status: StatusCode) -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let chat = move |State(asked): State<Arc<AtomicUsize>>, Json(body): Json<Value>| async move {
        asked.fetch_add(1, Ordering::SeqCst);
        if status != StatusCode::OK {
            return (status, "go away").into_response();
        }
        if body["messages"].to_string().contains("break") {
            return (StatusCode::BAD_REQUEST, "I am broken").into_response();
        }
        let first = json!({"model": "real-model", "choices": [{"index": 0, "delta": {"content": "A: "}}]});
        let last = json!({"model": "real-model", "choices": [{"index": 0, "delta": {"content": "3"}, "finish_reason": "stop"}]});
        let usage = json!({"model": "real-model", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 2,
                           "prompt_tokens_details": {"cached_tokens": 4}}});
        let stream = format!("data: {first}\n\ndata: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
        ([("content-type", "text/event-stream")], stream).into_response()
    };
    let router = Router::new().route("/v1/chat/completions", post(chat)).with_state(Arc::clone(&asked));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (base, asked)
}

fn definition(base: &str, trials: u32) -> Value {
    json!({
        "name": "asked",
        "source": {"reference_set": "set", "trials": trials, "target": {
            "kind": "openai-chat", "base_url": base, "model": "m", "retries": 0}},
        "scorers": [{"plugin": "final-number"}],
        "completion": {"output": "final-number", "at_least": 1},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_asked_once_for_each_trial_and_its_failures_count() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "final-number").await;
    let lines: String = (0..30)
        .map(|index| {
            let query = if index == 7 { "break".to_owned() } else { format!("question {index}") };
            json!({"key": index.to_string(), "query": query, "expected": "3"}).to_string() + "\n"
        })
        .collect();
    reference_set(&app, "set", lines).await;
    let (base, asked) = model_server(StatusCode::OK).await;
    let run = app.runner.start(evaluation(&app, definition(&base, 2)).await).await.expect("started");
    let ended = finished(&app, run).await;
    assert!(matches!(ended.state, RunState::Finished { .. }), "{:?}", ended.state);
    assert_eq!((ended.progress.total, asked.load(Ordering::SeqCst)), (60, 60));
    let result = app.runner.result(run).await.expect("a result");
    let completion = result.completion.expect("there is a rule");
    assert_eq!((completion.counts.completed, completion.counts.not_completed), (58, 2));
    assert_eq!((completion.interval_method.as_ref(), completion.clusters), ("wilson_clustered", 30));

    let page =
        app.store.item_page(run, ItemFilter { limit: 100, ..ItemFilter::default() }).await.expect("a page");
    let answer: Value = serde_json::from_str(page[0].answer.as_ref().expect("kept")).expect("JSON");
    assert_eq!((&answer["actual"], &answer["model"]), (&json!("A: 3"), &json!("real-model")));
    assert_eq!(answer["usage"], json!({"input": 10, "output": 2, "cached_input": 4}));
    assert!(answer["timing"]["first_token_us"].as_u64() <= answer["timing"]["total_us"].as_u64());
    let failed = page.iter().find(|item| item.key == "7").expect("listed").answer.clone().expect("kept");
    assert!(failed.contains("I am broken"), "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_to_be_asked_ends_the_run_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let app = app(folder.path()).await;
    install(&app, "final-number").await;
    reference_set(&app, "set", json!({"query": "q", "expected": "3"}).to_string()).await;
    let (base, _) = model_server(StatusCode::UNAUTHORIZED).await;
    let run = app.runner.start(evaluation(&app, definition(&base, 1)).await).await.expect("started");
    match finished(&app, run).await.state {
        RunState::Failed { reason, .. } => assert!(reason.contains("401"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
