//! GenAI events, on spans and as log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use serde_json::{Value as Json, json};

use super::super::{LogFact, Rejected, from_logs_export};
use super::*;
use crate::domain::production::IncomingScore;

fn log(name: &str, span: u8, at_ns: u64, body: Json, json: Json) -> LogRecord {
    LogRecord {
        trace_id: vec![7; 16],
        span_id: vec![span; 8],
        event_name: name.to_owned(),
        time_unix_nano: START_MS * 1_000_000 + at_ns,
        body: (!body.is_null()).then(|| value(body)),
        attributes: attributes(json),
        ..LogRecord::default()
    }
}

fn logs_request(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs { log_records, ..ScopeLogs::default() }],
            ..ResourceLogs::default()
        }],
    }
}

fn facts(logs: Vec<LogRecord>) -> Vec<LogFact> {
    let decoded = from_logs_export(logs_request(logs));
    assert_eq!(decoded.rejected, []);
    decoded.records
}

fn silent() -> Span {
    span(1, 0, 0, 1000, json!({ "gen_ai.operation.name": "chat" }))
}

/// The events of one call in the older form.
fn conversation() -> Vec<(&'static str, Json)> {
    vec![
        ("gen_ai.system.message", json!({ "content": "be brief" })),
        ("gen_ai.user.message", json!({ "content": "weather?" })),
        (
            "gen_ai.assistant.message",
            json!({ "tool_calls": [{ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] }),
        ),
        ("gen_ai.tool.message", json!({ "id": "1", "content": "rain" })),
        (
            "gen_ai.choice",
            json!({ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "It rains." } }),
        ),
    ]
}

fn check_conversation(found: &ProductionInteraction) {
    let inner = &found.interaction;
    assert_eq!((inner.query.as_str(), inner.actual.as_str()), ("weather?", "It rains."));
    assert_eq!(texts(&inner.history), ["be brief"]);
    assert_eq!(inner.tool_calls[0].output.as_deref(), Some("rain"));
    assert_eq!(inner.finish_reason.as_deref(), Some("stop"));
}

#[test]
fn older_events_on_a_span() {
    let mut one = silent();
    for (at, (name, body)) in (0..).zip(conversation()) {
        one.events.push(event(name, at, body));
    }
    check_conversation(&interaction(vec![one.clone()]));
    one.events.reverse();
    check_conversation(&interaction(vec![one]));
    let mut wrapped = silent();
    for (at, (name, body)) in (0..).zip(conversation()) {
        wrapped.events.push(event(name, at, json!({ "gen_ai.event.content": body.to_string() })));
    }
    check_conversation(&interaction(vec![wrapped]));
}

#[test]
fn older_events_as_log_records_in_any_order() {
    let spans = records(vec![silent()]);
    // All within one microsecond.
    let logs: Vec<LogRecord> =
        (0..).zip(conversation()).map(|(at, (name, body))| log(name, 1, at, body, json!({}))).collect();
    let expected = assemble(&spans, &facts(logs.clone()));
    check_conversation(&expected[0]);
    let mut shuffled = logs.clone();
    for _ in 0..logs.len() {
        shuffled.rotate_left(2);
        let mut facts = facts(shuffled.clone());
        assert_eq!(assemble(&spans, &facts), expected);
        facts.extend(facts.clone());
        assert_eq!(assemble(&spans, &facts), expected, "sent twice");
        facts.reverse();
        assert_eq!(assemble(&spans, &facts), expected);
    }
    // At the same instant the place in the request decides.
    let at_once: Vec<LogRecord> =
        conversation().into_iter().map(|(name, body)| log(name, 1, 0, body, json!({}))).collect();
    check_conversation(&assemble(&spans, &facts(at_once))[0]);
}

#[test]
fn an_event_with_everything() {
    let details = json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": [{ "role": "user", "parts": [{ "type": "text", "content": "q" }] }],
        "gen_ai.output.messages": [{ "role": "assistant", "parts": [{ "type": "text", "content": "a" }] }],
        "gen_ai.system_instructions": [{ "type": "text", "content": "s" }],
        "gen_ai.usage.input_tokens": 3,
    });
    let name = "gen_ai.client.inference.operation.details";
    let mut on_span = silent();
    on_span.events = vec![event(name, 5, details.clone())];
    let as_log = facts(vec![log(name, 1, 5, Json::Null, details.clone())]);
    let in_body = facts(vec![log(name, 1, 5, details, json!({}))]);
    let mut old_name = log("", 1, 5, Json::Null, json!({ "event.name": name, "gen_ai.input.messages": "q" }));
    old_name.observed_time_unix_nano = std::mem::take(&mut old_name.time_unix_nano);
    assert_eq!(assemble(&records(vec![silent()]), &facts(vec![old_name]))[0].interaction.query, "q");
    for (one, logs) in [(on_span, vec![]), (silent(), as_log), (silent(), in_body)] {
        let found = assemble(&records(vec![one]), &logs).remove(0).interaction;
        assert_eq!((found.query.as_str(), found.actual.as_str(), found.usage.input), ("q", "a", Some(3)));
        assert_eq!(texts(&found.history), ["s"]);
    }
}

#[test]
fn counts_that_an_event_brings_are_normalised_and_flagged_too() {
    let details = json!({
        "gen_ai.provider.name": "anthropic",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 100,
    });
    let logs = facts(vec![log("gen_ai.client.inference.operation.details", 1, 5, Json::Null, details)]);
    let found = assemble(&records(vec![silent()]), &logs).remove(0).interaction;
    assert_eq!(found.usage.input, Some(105));
    assert_eq!(found.metadata[super::super::metadata::USAGE], "input_excluded_cached");
}

#[test]
fn what_a_span_says_itself_wins_over_events() {
    let one = span(
        1,
        0,
        0,
        10,
        json!({ "gen_ai.operation.name": "chat", "input.value": "its own", "output.value": "its own" }),
    );
    let logs = facts(
        (0..).zip(conversation()).map(|(at, (name, body))| log(name, 1, at, body, json!({}))).collect(),
    );
    let found = assemble(&records(vec![one]), &logs).remove(0).interaction;
    assert_eq!((found.query.as_str(), found.actual.as_str()), ("its own", "its own"));
    assert_eq!(found.finish_reason.as_deref(), Some("stop"), "only what is missing is filled in");
}

#[test]
fn an_evaluation_is_an_incoming_score_once() {
    let told = json!({
        "gen_ai.evaluation.name": "relevance",
        "gen_ai.evaluation.score.value": 0.75,
        "gen_ai.evaluation.score.label": "relevant",
        "gen_ai.evaluation.explanation": "to the point",
    });
    let expected = IncomingScore {
        name: "relevance".into(),
        value: Some(0.75),
        label: Some("relevant".into()),
        explanation: Some("to the point".into()),
    };
    let name = "gen_ai.evaluation.result";
    let mut below = span(2, 1, 10, 20, json!({ "gen_ai.operation.name": "chat" }));
    below.events = vec![event(name, 15, told.clone())];
    let spans = records(vec![span(1, 0, 0, 100, json!({ "gen_ai.operation.name": "invoke_agent" })), below]);
    assert_eq!(
        assemble(&spans, &[])[0].origin.scores,
        std::slice::from_ref(&expected),
        "of a call below the agent"
    );
    let logs = facts(vec![log(name, 2, 5, Json::Null, told.clone()), log(name, 1, 5, Json::Null, told)]);
    assert_eq!(assemble(&spans, &logs)[0].origin.scores, [expected]);
}

#[test]
fn log_records_of_others_are_ignored_and_broken_ones_are_rejected() {
    let mut nowhere = log("gen_ai.user.message", 1, 0, json!({ "content": "q" }), json!({}));
    nowhere.span_id.clear();
    let mut lost = log("gen_ai.user.message", 1, 0, json!({ "content": "q" }), json!({}));
    lost.trace_id = vec![0; 16];
    let decoded = from_logs_export(logs_request(vec![
        log("", 1, 0, json!("a line of a log"), json!({})),
        log("device.app.lifecycle", 0, 0, Json::Null, json!({})),
        nowhere,
        log("gen_ai.evaluation.result", 1, 0, Json::Null, json!({ "gen_ai.evaluation.name": "relevance" })),
        lost,
        log("gen_ai.user.message", 1, 0, json!({ "content": "q" }), json!({})),
        log("gen_ai.something.new", 1, 0, Json::Null, json!({})),
        // Clients that may not pass on content.
        log("gen_ai.user.message", 1, 0, json!({}), json!({ "gen_ai.system": "openai" })),
        log("gen_ai.user.message", 1, 0, Json::Null, json!({ "gen_ai.system": "openai" })),
        log("exception", 1, 0, Json::Null, json!({ "exception.type": "KeyError" })),
    ]));
    assert_eq!(decoded.rejected, [(2, Rejected::Span), (3, Rejected::Score), (4, Rejected::Trace)]);
    assert_eq!(decoded.records.len(), 1);
    assert_eq!(decoded.records[0].place, 5);
}

#[test]
fn log_facts_survive_being_kept_as_json() {
    let mut logs = conversation();
    logs.push((
        "gen_ai.evaluation.result",
        json!({ "gen_ai.evaluation.name": "n", "gen_ai.evaluation.score.value": 1 }),
    ));
    logs.push(("gen_ai.client.inference.operation.details", json!({ "gen_ai.usage.input_tokens": 1 })));
    let facts = facts((0..).zip(logs).map(|(at, (name, body))| log(name, 1, at, body, json!({}))).collect());
    let kept = serde_json::to_string(&facts).expect("JSON");
    assert_eq!(serde_json::from_str::<Vec<LogFact>>(&kept).expect("JSON"), facts);
}
