//! What each attribute becomes.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::super::record::SpanKind;
use super::super::{metadata, names};
use super::*;

/// The kind of span that an attribute is tried on.
#[derive(Clone, Copy)]
enum On {
    Model,
    /// An agent with one tool below it, which has the attribute.
    Tool,
    /// An agent with one search below it, which has the attribute.
    Retrieval,
}

use On::{Model, Retrieval, Tool};

/// Interaction and origin as JSON.
fn written(found: &ProductionInteraction) -> Json {
    json!({ "interaction": found.interaction, "origin": found.origin })
}

fn with(on: On, mut more: Json) -> ProductionInteraction {
    let operation = match on {
        Model => "chat",
        Tool => "execute_tool",
        Retrieval => "retrieval",
    };
    let entries = more.as_object_mut().expect("attributes are an object");
    entries.entry("gen_ai.operation.name").or_insert(operation.into());
    match on {
        Model => interaction(vec![span(1, 0, 0, 2000, more)]),
        Tool | Retrieval => interaction(vec![
            span(1, 0, 0, 2000, json!({ "gen_ai.operation.name": "invoke_agent" })),
            span(2, 1, 10, 20, more),
        ]),
    }
}

/// Name, value, where it shows up, and as what.
fn cases() -> Vec<(On, &'static str, Json, &'static str, Json)> {
    let user = json!([{ "role": "user", "parts": [{ "type": "text", "content": "q" }] }]);
    let assistant = json!([{ "role": "assistant", "parts": [{ "type": "text", "content": "a" }] }]);
    let documents = json!([{ "id": "d", "score": 0.5, "content": "text" }]);
    vec![
        (Model, "assay.request_class", json!("refund"), "/interaction/request_class", json!("refund")),
        (Model, "assay.tenant", json!("acme"), "/origin/tenant", json!("acme")),
        (Model, "enduser.id", json!("u"), "/origin/user", json!("u")),
        (Model, "error.type", json!("timeout"), "/interaction/error", json!("timeout")),
        (Model, "gen_ai.completion", json!(assistant.to_string()), "/interaction/actual", json!("a")),
        (Model, "gen_ai.conversation.id", json!("c"), "/origin/conversation", json!("c")),
        (Model, "gen_ai.input.messages", json!(user.to_string()), "/interaction/query", json!("q")),
        (Model, "gen_ai.output.messages", json!(assistant.to_string()), "/interaction/actual", json!("a")),
        (Model, "gen_ai.prompt", json!(user.to_string()), "/interaction/query", json!("q")),
        (Model, "gen_ai.prompt.name", json!("greeting"), "/interaction/template", json!("greeting")),
        (Model, "gen_ai.prompt.version", json!("v2"), "/interaction/template_version", json!("v2")),
        (
            Model,
            "gen_ai.provider.name",
            json!("openai"),
            "/interaction/metadata/gen_ai.provider.name",
            json!("openai"),
        ),
        (Model, "gen_ai.request.model", json!("m"), "/interaction/metadata/gen_ai.request.model", json!("m")),
        (Model, "gen_ai.request.stream", json!(true), "/interaction/timing/streamed", json!(true)),
        (Model, "gen_ai.request.stream", json!(false), "/interaction/timing/streamed", json!(false)),
        (
            Model,
            "gen_ai.response.finish_reasons",
            json!(["stop", "length"]),
            "/interaction/finish_reason",
            json!("stop"),
        ),
        (Model, "gen_ai.response.model", json!("m-1"), "/interaction/model", json!("m-1")),
        (
            Model,
            "gen_ai.response.time_to_first_chunk",
            json!(0.25),
            "/interaction/timing/first_token_us",
            json!(250_000),
        ),
        (
            Retrieval,
            "gen_ai.retrieval.documents",
            json!(documents.to_string()),
            "/interaction/documents/0/relevance",
            json!(0.5),
        ),
        (
            Retrieval,
            "gen_ai.retrieval.documents",
            documents,
            "/interaction/documents/0/content",
            json!("text"),
        ),
        (Model, "gen_ai.system", json!("openai"), "/interaction/metadata/gen_ai.system", json!("openai")),
        (
            Model,
            "gen_ai.system_instructions",
            json!(r#"[{"type":"text","content":"s"}]"#),
            "/interaction/history/0/parts/0/text",
            json!("s"),
        ),
        (
            Model,
            "gen_ai.system_instructions",
            json!([{ "type": "text", "content": "s" }]),
            "/interaction/history/0/role",
            json!("system"),
        ),
        (
            Model,
            "gen_ai.system_instructions",
            json!("be brief"),
            "/interaction/history/0/parts/0/text",
            json!("be brief"),
        ),
        (
            Tool,
            "gen_ai.tool.call.arguments",
            json!(r#"{"a": 1}"#),
            "/interaction/tool_calls/0/arguments",
            json!(r#"{"a": 1}"#),
        ),
        (
            Tool,
            "gen_ai.tool.call.arguments",
            json!({ "a": 1 }),
            "/interaction/tool_calls/0/arguments",
            json!(r#"{"a":1}"#),
        ),
        (Tool, "gen_ai.tool.call.id", json!("call"), "/interaction/tool_calls/0/id", json!("call")),
        (Tool, "gen_ai.tool.call.result", json!("rain"), "/interaction/tool_calls/0/output", json!("rain")),
        (
            Model,
            "gen_ai.tool.definitions",
            json!("[]"),
            "/interaction/metadata/gen_ai.tool.definitions",
            Json::Null,
        ),
        (Tool, "gen_ai.tool.name", json!("weather"), "/interaction/tool_calls/0/name", json!("weather")),
        (
            Model,
            "gen_ai.usage.cache_creation.input_tokens",
            json!(3),
            "/interaction/usage/cache_write_input",
            json!(3),
        ),
        (
            Model,
            "gen_ai.usage.cache_creation_input_tokens",
            json!(3),
            "/interaction/usage/cache_write_input",
            json!(3),
        ),
        (
            Model,
            "gen_ai.usage.cache_read.input_tokens",
            json!(3),
            "/interaction/usage/cached_input",
            json!(3),
        ),
        (
            Model,
            "gen_ai.usage.cache_read_input_tokens",
            json!(3),
            "/interaction/usage/cached_input",
            json!(3),
        ),
        (
            Model,
            "gen_ai.usage.cache_write.input_tokens",
            json!(3),
            "/interaction/usage/cache_write_input",
            json!(3),
        ),
        (Model, "gen_ai.usage.completion_tokens", json!(3), "/interaction/usage/output", json!(3)),
        (Model, "gen_ai.usage.cost", json!(0.5), "/origin/cost", json!(0.5)),
        (Model, "gen_ai.usage.input_tokens", json!(3), "/interaction/usage/input", json!(3)),
        (Model, "gen_ai.usage.output_tokens", json!(3), "/interaction/usage/output", json!(3)),
        (Model, "gen_ai.usage.prompt_tokens", json!(3), "/interaction/usage/input", json!(3)),
        (Model, "gen_ai.usage.reasoning.output_tokens", json!(3), "/interaction/usage/reasoning", json!(3)),
        (Model, "input.value", json!("q"), "/interaction/query", json!("q")),
        (Tool, "input.value", json!("{}"), "/interaction/tool_calls/0/arguments", json!("{}")),
        (Model, "llm.cost.total", json!(0.5), "/origin/cost", json!(0.5)),
        (Model, "llm.finish_reason", json!("stop"), "/interaction/finish_reason", json!("stop")),
        (
            Model,
            "llm.invocation_parameters",
            json!(r#"{"stream": true}"#),
            "/interaction/timing/streamed",
            json!(true),
        ),
        (Model, "llm.model_name", json!("m-1"), "/interaction/model", json!("m-1")),
        (
            Model,
            "llm.prompt_template.template",
            json!("Hi {name}"),
            "/interaction/metadata/llm.prompt_template.template",
            json!("Hi {name}"),
        ),
        // BLAKE3 of `Hi {name}` by the Python package blake3 1.0.11.
        (
            Model,
            "llm.prompt_template.template",
            json!("Hi {name}"),
            "/interaction/template",
            json!("text-ac1d569b1b35"),
        ),
        (Model, "llm.prompt_template.version", json!("v2"), "/interaction/template_version", json!("v2")),
        (Model, "llm.provider", json!("azure"), "/interaction/metadata/llm.provider", json!("azure")),
        (
            Model,
            "llm.request.model_name",
            json!("m"),
            "/interaction/metadata/llm.request.model_name",
            json!("m"),
        ),
        (Model, "llm.response.model_name", json!("m-1"), "/interaction/model", json!("m-1")),
        (Model, "llm.system", json!("openai"), "/interaction/metadata/llm.system", json!("openai")),
        (Model, "llm.token_count.completion", json!(3), "/interaction/usage/output", json!(3)),
        (
            Model,
            "llm.token_count.completion_details.reasoning",
            json!(3),
            "/interaction/usage/reasoning",
            json!(3),
        ),
        (Model, "llm.token_count.prompt", json!(3), "/interaction/usage/input", json!(3)),
        (
            Model,
            "llm.token_count.prompt_details.cache_input",
            json!(3),
            "/interaction/usage/cached_input",
            json!(3),
        ),
        (
            Model,
            "llm.token_count.prompt_details.cache_read",
            json!(3),
            "/interaction/usage/cached_input",
            json!(3),
        ),
        (
            Model,
            "llm.token_count.prompt_details.cache_write",
            json!(3),
            "/interaction/usage/cache_write_input",
            json!(3),
        ),
        (Model, "llm.token_count.total", json!(3), "/interaction/metadata/llm.token_count.total", Json::Null),
        (
            Model,
            "metadata",
            json!(r#"{"plan": "free", "n": 3, "no": null}"#),
            "/interaction/metadata/n",
            json!("3"),
        ),
        (Model, "metadata", json!("no object"), "/interaction/metadata/metadata", json!("no object")),
        (Model, "output.value", json!("a"), "/interaction/actual", json!("a")),
        (Tool, "output.value", json!("rain"), "/interaction/tool_calls/0/output", json!("rain")),
        (Model, "prompt.id", json!("greeting"), "/interaction/template", json!("greeting")),
        (Model, "session.id", json!("s"), "/origin/session", json!("s")),
        (Model, "tenant.id", json!("acme"), "/origin/tenant", json!("acme")),
        (Tool, "tool.id", json!("call"), "/interaction/tool_calls/0/id", json!("call")),
        (Tool, "tool.name", json!("weather"), "/interaction/tool_calls/0/name", json!("weather")),
        (Model, "user.id", json!("u"), "/origin/user", json!("u")),
        // No name of the table.
        (
            Model,
            "gen_ai.request.max_tokens",
            json!(100),
            "/interaction/metadata/gen_ai.request.max_tokens",
            json!("100"),
        ),
        (Model, "gen_ai.response.id", json!("r"), "/interaction/metadata/gen_ai.response.id", json!("r")),
        (Model, "tag.tags", json!(["a", "b"]), "/interaction/metadata/tag.tags", json!(r#"["a","b"]"#)),
        (
            Model,
            "the.teams.own",
            json!({ "a": [true] }),
            "/interaction/metadata/the.teams.own",
            json!(r#"{"a":[true]}"#),
        ),
    ]
}

#[test]
fn each_attribute_shows_up_where_it_belongs() {
    for (on, name, value, place, expected) in cases() {
        let found = written(&with(on, json!({ name: value })));
        let shown = found.pointer(place).cloned().unwrap_or_default();
        assert_eq!(shown, expected, "{name} at {place} in {found:#}");
        // Without it the place is empty, so it can be nothing else that put the value there.
        let without = written(&with(on, json!({})));
        let empty = without.pointer(place).is_none_or(|json| *json == "" || json.is_null());
        assert!(empty, "{name}: {place} is there without it");
    }
}

#[test]
fn every_name_of_the_table_is_tried() {
    let mut tried: BTreeSet<&str> = cases().iter().map(|(_, name, ..)| *name).collect();
    // These have tests of their own below.
    tried.extend(["gen_ai.operation.name", "openinference.span.kind", "input.mime_type", "output.mime_type"]);
    for (name, ..) in names::NAMES {
        assert!(tried.contains(name), "{name}");
    }
}

#[test]
fn todays_name_wins_over_older_ones_in_any_order() {
    let pairs = [
        (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "/interaction/usage/input",
            json!(1),
            json!(2),
        ),
        (
            "gen_ai.usage.input_tokens",
            "llm.token_count.prompt",
            "/interaction/usage/input",
            json!(1),
            json!(2),
        ),
        ("gen_ai.response.model", "llm.model_name", "/interaction/model", json!("new"), json!("old")),
        ("user.id", "enduser.id", "/origin/user", json!("new"), json!("old")),
    ];
    for (new, old, place, value, other) in pairs {
        for order in [[(new, &value), (old, &other)], [(old, &other), (new, &value)]] {
            let mut one = span(1, 0, 0, 10, json!({ "gen_ai.operation.name": "chat" }));
            one.attributes.extend(order.iter().map(|(name, json)| attribute(name, (*json).clone())));
            let found = written(&interaction(vec![one]));
            assert_eq!(found.pointer(place), Some(&value), "{new}");
        }
    }
}

#[test]
fn an_operation_or_kind_says_what_a_span_stands_for() {
    let cases = [
        ("gen_ai.operation.name", "chat", SpanKind::Model),
        ("gen_ai.operation.name", "text_completion", SpanKind::Model),
        ("gen_ai.operation.name", "generate_content", SpanKind::Model),
        ("gen_ai.operation.name", "embeddings", SpanKind::Embedding),
        ("gen_ai.operation.name", "execute_tool", SpanKind::Tool),
        ("gen_ai.operation.name", "invoke_agent", SpanKind::Agent),
        ("gen_ai.operation.name", "invoke_workflow", SpanKind::Chain),
        ("gen_ai.operation.name", "create_agent", SpanKind::Other),
        ("gen_ai.operation.name", "retrieval", SpanKind::Retrieval),
        ("openinference.span.kind", "LLM", SpanKind::Model),
        ("openinference.span.kind", "CHAIN", SpanKind::Chain),
        ("openinference.span.kind", "AGENT", SpanKind::Agent),
        ("openinference.span.kind", "RETRIEVER", SpanKind::Retrieval),
        ("openinference.span.kind", "RERANKER", SpanKind::Retrieval),
        ("openinference.span.kind", "TOOL", SpanKind::Tool),
        ("openinference.span.kind", "EMBEDDING", SpanKind::Embedding),
        ("openinference.span.kind", "GUARDRAIL", SpanKind::Guardrail),
        ("openinference.span.kind", "EVALUATOR", SpanKind::Evaluation),
        ("gen_ai.request.model", "m", SpanKind::Model),
        ("http.request.method", "POST", SpanKind::Other),
    ];
    for (name, value, expected) in cases {
        assert_eq!(record(span(1, 0, 0, 10, json!({ name: value }))).kind, expected, "{value}");
    }
}

#[test]
fn a_span_that_stands_for_nothing_keeps_only_whose_it_is() {
    let found =
        record(span(1, 0, 0, 10, json!({ "http.route": "/ask", "session.id": "s", "input.value": "q" })));
    assert_eq!(found.facts.session.as_deref(), Some("s"));
    assert_eq!(serde_json::to_value(&found.facts).expect("JSON"), json!({ "session": "s" }));
}

#[test]
fn messages_of_each_kind_of_part() {
    let input = json!([
        { "role": "system", "parts": [{ "type": "text", "content": "s" }] },
        { "role": "user", "name": "ann", "parts": [
            { "type": "text", "content": "look at" },
            { "type": "uri", "modality": "image", "mime_type": "image/png", "uri": "https://host/a.png" },
            { "type": "blob", "modality": "image", "mime_type": "image/gif", "content": "R0lG" },
            { "type": "file", "modality": "document", "mime_type": "application/pdf", "file_id": "file-1" },
            { "type": "text", "content": "these" },
            { "type": "something new", "content": "unknown" },
        ] },
        { "role": "assistant", "parts": [
            { "type": "reasoning", "content": "hm" },
            { "type": "tool_call", "id": "1", "name": "zoom", "arguments": { "by": 2 } },
            { "type": "tool_call", "id": "2", "name": "turn", "arguments": "{\"by\": 3}" },
        ] },
        { "role": "tool", "parts": [{ "type": "tool_call_response", "id": "1", "response": { "ok": true } }] },
        { "role": "tool", "parts": [{ "type": "tool_call_response", "id": "2", "result": "turned" }] },
    ]);
    for input in [json!(input.to_string()), input] {
        let found = with(
            Model,
            json!({
                "gen_ai.input.messages": input,
                "gen_ai.output.messages": [{ "role": "assistant", "finish_reason": "stop", "parts": [
                    { "type": "reasoning", "content": "aha" },
                    { "type": "text", "content": "a cat" },
                ] }],
            }),
        )
        .interaction;
        assert_eq!((found.query.as_str(), found.actual.as_str()), ("look at\nthese", "a cat"));
        assert_eq!(
            serde_json::to_value(&found.query_media).expect("JSON"),
            json!([
                { "type": "image", "uri": "https://host/a.png", "media_type": "image/png" },
                { "type": "image", "uri": "data:image/gif;base64,R0lG", "media_type": "image/gif" },
                { "type": "file", "uri": "file-1", "media_type": "application/pdf" },
            ])
        );
        assert_eq!(texts(&found.history), ["s"]);
        assert_eq!(
            serde_json::to_value(&found.tool_calls).expect("JSON"),
            json!([
                { "id": "1", "name": "zoom", "arguments": r#"{"by":2}"#, "output": r#"{"ok":true}"# },
                { "id": "2", "name": "turn", "arguments": r#"{"by": 3}"#, "output": "turned" },
            ])
        );
        assert_eq!(found.finish_reason.as_deref(), Some("stop"));
    }
}

#[test]
fn messages_of_the_chat_api_are_read_too() {
    let found = with(Model, json!({
        "gen_ai.prompt": json!([
            { "role": "developer", "content": "s" },
            { "role": "user", "content": [{ "type": "text", "text": "q" }, { "type": "image_url", "image_url": { "url": "u" } }] },
            { "role": "assistant", "content": null, "tool_calls": [{ "id": "1", "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
            { "role": "tool", "tool_call_id": "1", "content": "out" },
        ]).to_string(),
        "gen_ai.completion": r#"[{"role":"assistant","content":"a"}]"#,
    }))
    .interaction;
    assert_eq!((found.query.as_str(), found.query_media.len(), found.actual.as_str()), ("q", 1, "a"));
    assert_eq!(found.tool_calls[0].output.as_deref(), Some("out"));
    assert_eq!(texts(&found.history), ["s"]);
}

#[test]
fn lists_that_openinference_spreads_over_attributes() {
    let found = with(Model, json!({
        "openinference.span.kind": "LLM",
        "llm.input_messages.10.message.role": "user",
        "llm.input_messages.10.message.contents.0.message_content.type": "text",
        "llm.input_messages.10.message.contents.0.message_content.text": "q",
        "llm.input_messages.10.message.contents.1.message_content.type": "image",
        "llm.input_messages.10.message.contents.1.message_content.image.image.url": "u",
        "llm.input_messages.2.message.role": "system",
        "llm.input_messages.2.message.content": "s",
        "llm.input_messages.4294967295.message.role": "tool",
        "llm.input_messages.4294967295.message.content": "out",
        "llm.input_messages.4294967295.message.tool_call_id": "1",
        "llm.input_messages.11.message.tool_calls.0.tool_call.id": "1",
        "llm.input_messages.11.message.tool_calls.0.tool_call.function.name": "f",
        "llm.input_messages.11.message.tool_calls.0.tool_call.function.arguments": "{}",
        "llm.input_messages.11.message.role": "assistant",
        "llm.input_messages.99999999999.message.role": "user",
        "llm.input_messages.x.message.role": "user",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.contents.0.message_content.type": "reasoning",
        "llm.output_messages.0.message.contents.0.message_content.text": "hm",
        "llm.output_messages.0.message.contents.1.message_content.text": "a",
        "llm.tools.0.tool.json_schema": "{}",
        "retrieval.documents.1.document.content": "second",
        "retrieval.documents.0.document.id": 7,
        "retrieval.documents.0.document.score": 0.5,
        "retrieval.documents.0.document.content": "first",
        "retrieval.documents.0.document.metadata": r#"{"title":"T","source":"https://host/t","url":"https://host/u"}"#,
        "retrieval.documents.2.document.score": 0.1,
    }))
    .interaction;
    assert_eq!((found.query.as_str(), found.query_media.len(), found.actual.as_str()), ("q", 1, "a"));
    assert_eq!(texts(&found.history), ["s"]);
    assert_eq!(found.tool_calls[0].output.as_deref(), Some("out"));
    assert_eq!(
        serde_json::to_value(&found.documents).expect("JSON"),
        json!([
            { "id": "7", "title": "T", "uri": "https://host/u", "content": "first", "relevance": 0.5 },
            { "content": "second" },
        ])
    );
    assert!(found.metadata.is_empty(), "{:?}", found.metadata);
}

#[test]
fn values_in_json_are_read_where_they_have_a_known_shape() {
    let cases = [
        (r#""q""#, "q"),
        (r#"{"question": "q", "k": 4}"#, "q"),
        (r#"{"messages": [{"role": "user", "content": "q"}]}"#, "q"),
        (r#"[{"role": "user", "content": "q"}]"#, "q"),
        (r#"{"shape": {"unknown": 1}}"#, r#"{"shape": {"unknown": 1}}"#),
        ("{cut", "{cut"),
    ];
    for (value, expected) in cases {
        let found = with(Model, json!({ "input.value": value, "input.mime_type": "application/json" }));
        assert_eq!(found.interaction.query, expected, "{value}");
    }
    let reply = r#"{"choices": [{"message": {"role": "assistant", "content": "a"}}]}"#;
    let found = with(Model, json!({ "output.value": reply, "output.mime_type": "application/json" }));
    assert_eq!(found.interaction.actual, "a");
    let found = with(Model, json!({ "output.value": reply, "output.mime_type": "text/plain" }));
    assert_eq!(found.interaction.actual, reply, "text is text, whatever it looks like");
}

#[test]
fn content_that_a_client_cut_is_missing_and_flagged() {
    let found = with(
        Model,
        json!({
            "gen_ai.input.messages": r#"[{"role":"user","parts":[{"type":"text","content":"What is"#,
            "gen_ai.output.messages": r#"[{"role":"assistant","#,
        }),
    )
    .interaction;
    assert_eq!((found.query.as_str(), found.actual.as_str()), ("", ""));
    assert_eq!(found.metadata[metadata::CONTENT], "unread_input, unread_output");
}

#[test]
fn a_missing_count_is_missing_and_a_zero_is_a_zero() {
    let found = with(Model, json!({ "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": -1 }));
    assert_eq!(found.interaction.usage.input, Some(0));
    assert_eq!(found.interaction.usage.output, None);
    assert_eq!(found.interaction.usage.cached_input, None);
}

#[test]
fn raw_anthropic_counts_are_normalised_and_flagged() {
    let found = with(
        Model,
        json!({
            "gen_ai.provider.name": "anthropic",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.cache_read.input_tokens": 2000,
            "gen_ai.usage.cache_creation.input_tokens": 100,
        }),
    )
    .interaction;
    assert_eq!((found.usage.input, found.usage.cached_input), (Some(2112), Some(2000)));
    assert_eq!(found.metadata[metadata::USAGE], "input_excluded_cached");
}

#[test]
fn metadata_is_bounded_and_says_so() {
    let mut many: serde_json::Map<String, Json> =
        (0..200).map(|number| (format!("own.{number:03}"), json!("x"))).collect();
    many.insert("a.long.one".into(), json!("y".repeat(10_000)));
    let found = with(Model, Json::Object(many)).interaction;
    assert_eq!(found.metadata["a.long.one"].len(), metadata::VALUE_BYTES_MAX);
    assert!(found.metadata.len() <= metadata::ENTRIES_MAX + 1);
    assert_eq!(found.metadata[metadata::CUT], "values, entries");
}

#[test]
fn a_long_text_is_kept_whole() {
    let long = "é".repeat(1_500_000);
    let found = with(Model, json!({ "input.value": long.clone(), "output.value": long.clone() }));
    assert_eq!((found.interaction.query, found.interaction.actual), (long.clone(), long));
}

#[test]
fn the_resource_says_whose_a_span_is() {
    let mut wanted = request(vec![span(1, 0, 0, 10, json!({ "gen_ai.operation.name": "chat" }))]);
    wanted.resource_spans[0].resource = Some(Resource {
        attributes: attributes(json!({
            "service.name": "shop", "service.version": "1.2", "deployment.environment.name": "prod",
            "tenant.id": "acme", "host.name": "a-machine",
        })),
        ..Resource::default()
    });
    let found = assemble(&from_export(wanted).records, &[]).remove(0);
    assert_eq!(found.origin.service.as_deref(), Some("shop"));
    assert_eq!(found.origin.service_version.as_deref(), Some("1.2"));
    assert_eq!(found.origin.tenant.as_deref(), Some("acme"));
    assert_eq!(found.interaction.metadata["deployment.environment.name"], "prod");
    assert!(!found.interaction.metadata.contains_key("host.name"));
}

#[test]
fn the_sampling_threshold_is_the_upstream_probability() {
    for (state, expected) in [("", None), ("ot=th:c", Some(0.25)), ("v=1,ot=rv:1;th:8", Some(0.5))] {
        let mut one = span(1, 0, 0, 10, json!({ "gen_ai.operation.name": "chat" }));
        one.trace_state = state.to_owned();
        assert_eq!(interaction(vec![one]).origin.upstream_probability, expected, "{state}");
    }
}
