//! What real instrumentations sent; `tests/otlp/record.py` made the files.
//!
//! Every mode makes the same calls: one with a history, one streamed, one
//! streamed and broken off, two that fail, an embedding, and a question that
//! takes a tool.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{Encoding, LogFact, SpanRecord, assemble, decode_logs, decode_traces};
use crate::domain::interaction::Role;
use crate::domain::production::ProductionInteraction;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/otlp");

pub(super) fn body(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{name}.bin")).expect("a recorded file")
}

fn spans(mode: &str) -> Vec<SpanRecord> {
    let decoded =
        decode_traces(&body(&format!("{mode}_traces")), Encoding::Protobuf).expect("a recorded request");
    assert_eq!(decoded.rejected, []);
    decoded.records
}

fn logs(mode: &str) -> Vec<LogFact> {
    let decoded =
        decode_logs(&body(&format!("{mode}_logs")), Encoding::Protobuf).expect("a recorded request");
    assert_eq!(decoded.rejected, []);
    decoded.records
}

/// The interactions of all traces, by the time of their start.
fn interactions(spans: &[SpanRecord], logs: &[LogFact]) -> Vec<ProductionInteraction> {
    let mut traces: BTreeMap<[u8; 16], Vec<SpanRecord>> = BTreeMap::new();
    for span in spans {
        traces.entry(span.trace).or_default().push(span.clone());
    }
    let mut all: Vec<_> = traces.values().flat_map(|spans| assemble(spans, logs)).collect();
    all.sort_by_key(|interaction| interaction.started_at);
    all
}

fn snapshot(name: &str, found: &[ProductionInteraction]) {
    let written: Vec<_> = found
        .iter()
        .map(|one| json!({ "id": one.id, "interaction": one.interaction, "origin": one.origin }))
        .collect();
    // Without the module's path in the file's name, which the name says already.
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!(name, written);
    });
}

/// Question and answer of the five calls that every mode makes without a tool.
fn said(found: &[ProductionInteraction]) -> Vec<(&str, &str, bool, bool)> {
    found[..5]
        .iter()
        .map(|one| {
            let inner = &one.interaction;
            (inner.query.as_str(), inner.actual.as_str(), one.origin.partial, inner.error.is_some())
        })
        .collect()
}

const SAID: [(&str, &str, bool, bool); 5] = [
    ("Second question", "You said: Second question", false, false),
    ("Count to three", "One two three", false, false),
    ("Count, and be broken off", "One", true, false),
    ("fail with 500", "", false, true),
    ("fail with 429", "", false, true),
];

fn check_tool_call(one: &ProductionInteraction) {
    let inner = &one.interaction;
    assert_eq!(inner.query, "What is the weather in Paris?");
    assert_eq!(inner.actual, "You said: rainy, 14 degrees");
    assert_eq!(inner.history.len(), 1);
    assert_eq!(inner.history[0].role, Role::System);
    assert_eq!(inner.tool_calls.len(), 1);
    let call = &inner.tool_calls[0];
    assert_eq!(call.id.as_deref(), Some("call_weather"));
    assert_eq!(call.name, "get_weather");
    assert_eq!(call.output.as_deref(), Some("rainy, 14 degrees"));
    let arguments: serde_json::Value = serde_json::from_str(&call.arguments).expect("JSON");
    assert_eq!(arguments, json!({ "city": "Paris" }));
}

#[test]
fn todays_genai_conventions_on_spans() {
    let spans = spans("genai");
    let found = interactions(&spans, &[]);
    assert_eq!(found.len(), 6, "the embedding is no interaction");
    assert_eq!(said(&found), SAID);
    let streamed = &found[1].interaction;
    assert_eq!(streamed.timing.streamed, Some(true));
    assert_eq!(streamed.timing.first_token_us, Some(57_199));
    assert_eq!((streamed.usage.cached_input, streamed.usage.reasoning), (Some(64), Some(4)));
    assert_eq!(
        found[4].interaction.error.as_deref(),
        Some("openai.RateLimitError: Error code: 429 - told to fail")
    );
    let agent = &found[5];
    check_tool_call(agent);
    assert_eq!(agent.interaction.usage.input, Some(240));
    assert_eq!(agent.interaction.usage.cached_input, Some(128));
    assert_eq!(agent.interaction.documents[0].id.as_deref(), Some("city-75"));
    assert_eq!(agent.origin.conversation.as_deref(), Some("conversation-1"));
    snapshot("genai", &found);
}

#[test]
fn an_event_that_repeats_its_span_changes_nothing() {
    let spans = spans("genai");
    assert_eq!(interactions(&spans, &logs("genai")), interactions(&spans, &[]));
}

#[test]
fn todays_genai_conventions_with_content_in_events_only() {
    let spans = spans("genai_events");
    assert!(spans.iter().all(|span| !span.stands_alone()), "their content is still to come");
    let found = interactions(&spans, &logs("genai_events"));
    assert_eq!(found.len(), 6);
    assert_eq!(said(&found), SAID);
    assert_eq!(
        found[3].interaction.error.as_deref().map(|error| &error[..42]),
        Some("openai.InternalServerError: Error code: 50")
    );
    check_tool_call(&found[5]);
    snapshot("genai_events", &found);
}

#[test]
fn the_older_genai_conventions_with_an_event_for_each_message() {
    let found = interactions(&spans("genai_legacy"), &logs("genai_legacy"));
    // Without an agent's span each call of the model is an interaction.
    assert_eq!(found.len(), 7);
    assert_eq!(said(&found), SAID);
    assert_eq!(found[0].interaction.history.len(), 3);
    let asked = &found[5].interaction;
    assert_eq!((asked.actual.as_str(), asked.tool_calls[0].output.as_deref()), ("", None));
    check_tool_call(&found[6]);
    snapshot("genai_legacy", &found);
}

#[test]
fn openinference() {
    let spans = spans("openinference");
    let found = interactions(&spans, &[]);
    assert_eq!(found.len(), 6);
    assert_eq!(said(&found), SAID);
    assert_eq!(found[1].interaction.timing.first_token_us, Some(59_064));
    let agent = &found[5];
    check_tool_call(agent);
    assert_eq!(agent.interaction.documents.len(), 2);
    assert_eq!(agent.interaction.documents[0].title.as_deref(), Some("Paris"));
    assert_eq!(agent.interaction.template_version.as_deref(), Some("v3"));
    assert_eq!(agent.interaction.metadata["plan"], "free");
    assert_eq!(
        (agent.origin.session.as_deref(), agent.origin.user.as_deref()),
        (Some("session-1"), Some("user-1"))
    );
    snapshot("openinference", &found);
}

/// The traffic of a model on one machine, in OTLP's JSON;
/// `examples/local-model/record.py` made it.
fn local_model(name: &str) -> Vec<ProductionInteraction> {
    let file = format!("{}/../examples/local-model/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let lines = std::fs::read_to_string(file).expect("a recorded file");
    let spans: Vec<_> = lines
        .lines()
        .flat_map(|line| {
            let decoded = decode_traces(line.as_bytes(), Encoding::Json).expect("a recorded request");
            assert_eq!(decoded.rejected, []);
            decoded.records
        })
        .collect();
    interactions(&spans, &[])
}

#[test]
fn a_real_model_on_this_machine_is_understood_by_both_conventions() {
    for name in ["openinference", "genai"] {
        let found = local_model(name);
        assert_eq!(found.len(), 11, "{name}");
        let first = &found[0].interaction;
        assert_eq!(first.query, "When are you open on Sundays?", "{name}");
        assert!(first.actual.starts_with("When are you open"), "{name}: {}", first.actual);
        assert_eq!(first.model.as_deref(), Some("gemma3-270m"), "{name}");
        let streamed = found.iter().filter(|one| one.interaction.timing.streamed == Some(true)).count();
        let first_tokens = found.iter().filter(|one| one.interaction.timing.first_token_us.is_some()).count();
        assert_eq!((streamed, first_tokens), (4, 4), "{name}: those that were streamed");
        let errors: Vec<_> = found.iter().filter(|one| one.interaction.error.is_some()).collect();
        assert_eq!(errors.len(), 2, "{name}");
        assert!(errors.iter().all(|one| one.interaction.actual.is_empty()), "{name}");
        // What was streamed has no counts: the server sends none with its stream.
        let counted = found.iter().filter(|one| one.interaction.usage.output.is_some()).count();
        assert_eq!(counted, 5, "{name}");
        let called = found.iter().filter(|one| !one.interaction.tool_calls.is_empty()).count();
        assert_eq!(called, 1, "{name}");
    }
    let visits: Vec<_> = local_model("openinference")
        .iter()
        .map(|one| one.origin.session.clone().expect("each visit has its name"))
        .collect();
    assert_eq!(visits.iter().filter(|visit| *visit == "visit-0").count(), 3);
}
