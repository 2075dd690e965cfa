//! New scores of production reach an OpenTelemetry collector, each once.

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use support::daemon::{Daemon, answer};

/// A collector on loopback: what it accepted, and the statuses that it answers first.
#[derive(Clone, Default)]
struct Collector {
    accepted: Arc<Mutex<Vec<LogRecord>>>,
    refusals: Arc<Mutex<Vec<StatusCode>>>,
    requests: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Collector {
    async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let collector = self.clone();
        let take = move |headers: HeaderMap, body: Bytes| {
            let collector = collector.clone();
            async move {
                collector.requests.lock().expect("unpoisoned").push(headers);
                if let Some(status) = collector.refusals.lock().expect("unpoisoned").pop() {
                    return (status, [("retry-after", "0")]).into_response();
                }
                let request = ExportLogsServiceRequest::decode(body).expect("protobuf");
                let records = request
                    .resource_logs
                    .into_iter()
                    .flat_map(|logs| logs.scope_logs.into_iter().flat_map(|scope| scope.log_records));
                collector.accepted.lock().expect("unpoisoned").extend(records);
                StatusCode::OK.into_response()
            }
        };
        let router = Router::new().route("/v1/logs", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn accepted(&self) -> Vec<LogRecord> {
        self.accepted.lock().expect("unpoisoned").clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<LogRecord> {
        for _ in 0..300 {
            if self.accepted().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What comes twice comes a moment later.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let accepted = self.accepted();
        assert_eq!(accepted.len(), count);
        accepted
    }
}

fn attributes(record: &LogRecord) -> HashMap<String, Value> {
    let value = |any: Option<Any>| match any {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::DoubleValue(number)) => json!(number),
        other => panic!("{other:?}"),
    };
    let attributes = record.attributes.iter();
    attributes
        .map(|attribute| (attribute.key.clone(), value(attribute.value.clone().and_then(|any| any.value))))
        .collect()
}

async fn send(daemon: &Daemon, from: usize, to: usize) {
    let lines: String = (from..to)
        .map(|i| {
            let actual = if i % 2 == 0 { "yes" } else { "no" };
            format!("{{\"id\":\"i{i}\",\"query\":\"q\",\"actual\":\"{actual}\",\"expected\":[\"yes\"]}}\n")
        })
        .collect();
    answer(daemon.request(Method::POST, "/v1/interactions").body(lines), StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_scores_are_sent_once_and_wait_for_a_collector_that_refuses() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let collector = Collector::default();
    let endpoint = collector.listen().await;
    let definition = json!({
        "name": "live", "source": {"production": {"follow": true}},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "equals"}]}}],
    });
    // Scores from before the export was asked for.
    let daemon = Daemon::start(folder.path());
    let id = daemon.create("/v1/evaluations", &definition).await["id"].as_str().expect("an id").to_owned();
    let run = loop {
        let runs = daemon.get(&format!("/v1/runs?evaluation={id}&state=running")).await;
        if let Some(run) = runs["runs"][0]["id"].as_str() {
            break run.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let scored = async |daemon: &Daemon, count: u64| {
        loop {
            let result = daemon.get(&format!("/v1/runs/{run}/result")).await;
            if result["scorers"][0]["outputs"][0]["scored"].as_u64() == Some(count) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    send(&daemon, 0, 10).await;
    scored(&daemon, 10).await;
    daemon.kill();

    let config = folder.path().join("assay.toml");
    let settings = format!(
        "[export.otlp]\nendpoint = \"{endpoint}/\"\ninterval_s = 1\n\
         headers = {{ x-api-key = {{ env = \"COLLECTOR_KEY\" }} }}\n"
    );
    std::fs::write(&config, settings).expect("written");
    let variables = [("ASSAY_CONFIG", config.to_str().expect("UTF-8")), ("COLLECTOR_KEY", "the-key")];
    *collector.refusals.lock().expect("unpoisoned") =
        vec![StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED];
    let daemon = Daemon::start_with(folder.path(), &variables);
    // It has to note what is there before more comes.
    let database = rusqlite::Connection::open(folder.path().join("assay.db")).expect("opened");
    let noted = || database.query_row("SELECT count(*) FROM score_export", [], |row| row.get::<_, i64>(0));
    while noted().expect("counted") == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    send(&daemon, 10, 1_210).await;
    let span = json!({
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "chat",
        "startTimeUnixNano": "1780000000000000000", "endTimeUnixNano": "1780000001000000000",
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.input.messages", "value": {"stringValue":
                "[{\"role\":\"user\",\"parts\":[{\"type\":\"text\",\"content\":\"q\"}]}]"}},
            {"key": "gen_ai.output.messages", "value": {"stringValue":
                "[{\"role\":\"assistant\",\"parts\":[{\"type\":\"text\",\"content\":\"a\"}]}]"}},
        ],
    });
    let body = json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}).to_string();
    let traces = daemon.request(Method::POST, "/v1/traces").header("content-type", "application/json");
    answer(traces.body(body), StatusCode::OK).await;
    // The traced one expects nothing, so it has no score of this scorer.
    scored(&daemon, 1_210).await;
    let records = collector.wait_for(1_200).await;
    let requests = collector.requests.lock().expect("unpoisoned").clone();
    assert!(requests.len() >= 5, "two refusals and three batches: {}", requests.len());
    assert!(requests.iter().all(|headers| headers["x-api-key"] == "the-key"));
    assert!(requests.iter().all(|headers| headers["content-type"] == "application/x-protobuf"));
    let first = attributes(&records[0]);
    assert_eq!(records[0].event_name, "gen_ai.evaluation.result");
    assert_eq!(first["gen_ai.evaluation.name"], "equals");
    assert_eq!((&first["assay.evaluation"], &first["assay.run.id"]), (&json!("live"), &json!(run)));
    let right =
        records.iter().filter(|record| attributes(record)["gen_ai.evaluation.score.value"] == 1.0).count();
    assert_eq!(right, 600);
    assert!(records[0].trace_id.is_empty(), "it came without a trace");

    // Another process goes on where this one was.
    daemon.kill();
    let daemon = Daemon::start_with(folder.path(), &variables);
    send(&daemon, 1_210, 1_220).await;
    collector.wait_for(1_210).await;

    // A score that has a trace names it.
    let traced = json!({
        "name": "traced", "source": {"production": {}},
        "scorers": [{"plugin": "text", "config": {"checks": [{"kind": "contains", "any": ["a", "yes", "no"]}]}}],
    });
    let id = daemon.create("/v1/evaluations", &traced).await["id"].as_str().expect("an id").to_owned();
    let run = daemon.create(&format!("/v1/evaluations/{id}/runs"), &json!({})).await;
    let finished = daemon.finished(run["id"].as_str().expect("an id")).await;
    assert_eq!(finished["state"], "finished", "{finished}");
    let records = collector.wait_for(1_210 + 1_221).await;
    let of_trace: Vec<_> = records.iter().filter(|record| !record.trace_id.is_empty()).collect();
    assert_eq!(of_trace.len(), 1);
    assert_eq!(of_trace[0].trace_id[..4], [0x4b, 0xf9, 0x2f, 0x35]);
    assert_eq!(of_trace[0].span_id[..4], [0x00, 0xf0, 0x67, 0xaa]);
}

#[tokio::test]
async fn an_endpoint_that_is_none_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = Daemon::try_start(folder.path(), &[("ASSAY_EXPORT__OTLP__ENDPOINT", "collector:4318")]);
    assert!(refused.is_err());
}
