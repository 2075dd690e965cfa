//! Traces of several spans.

use serde_json::{Value as Json, json};

use super::super::metadata;
use super::*;
use crate::domain::interaction::Usage;

fn message(role: &str, text: &str) -> Json {
    json!({ "role": role, "parts": [{ "type": "text", "content": text }] })
}

/// A call of a model with ten tokens in and five out.
fn chat(input: &[Json], output: &[Json]) -> Json {
    json!({
        "gen_ai.operation.name": "chat",
        "gen_ai.response.model": "m-1",
        "gen_ai.input.messages": json!(input).to_string(),
        "gen_ai.output.messages": json!(output).to_string(),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
    })
}

fn plain_chat(question: &str, answer: &str) -> Json {
    chat(&[message("user", question)], &[message("assistant", answer)])
}

fn and(mut json: Json, more: Json) -> Json {
    let Json::Object(more) = more else { panic!("attributes are an object") };
    json.as_object_mut().expect("attributes are an object").extend(more);
    json
}

fn agent(more: Json) -> Json {
    and(json!({ "gen_ai.operation.name": "invoke_agent" }), more)
}

/// An agent that searches, asks its model, calls the tool that the model wants,
/// and asks again. All below a server's span.
fn rag() -> Vec<Span> {
    let asked = [message("system", "be brief"), message("user", "weather?")];
    let call = json!({ "role": "assistant", "finish_reason": "tool_call", "parts": [
        { "type": "tool_call", "id": "call", "name": "weather", "arguments": { "city": "Paris" } },
    ] });
    let result = json!({ "role": "tool", "parts": [{ "type": "tool_call_response", "id": "call", "response": "rain" }] });
    let again = [asked[0].clone(), asked[1].clone(), call.clone(), result];
    vec![
        span(1, 0, 0, 1000, json!({ "http.route": "/ask", "user.id": "ann" })),
        span(
            2,
            1,
            10,
            900,
            agent(json!({
                "gen_ai.conversation.id": "c",
                // Totals that must not be added again.
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 1000,
            })),
        ),
        span(
            3,
            2,
            20,
            30,
            json!({
                "gen_ai.operation.name": "retrieval",
                "gen_ai.retrieval.documents": [{ "id": "d1", "content": "Paris" }, { "id": "d2", "content": "Rain" }],
            }),
        ),
        span(
            4,
            2,
            40,
            200,
            and(
                chat(&asked, &[call]),
                json!({ "gen_ai.request.stream": true, "gen_ai.response.time_to_first_chunk": 0.05 }),
            ),
        ),
        span(
            5,
            2,
            210,
            300,
            json!({
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "weather",
                "gen_ai.tool.call.id": "call",
                "gen_ai.tool.call.arguments": { "city": "Paris" },
                "gen_ai.tool.call.result": "rain",
            }),
        ),
        span(
            6,
            2,
            310,
            800,
            and(
                chat(&again, &[message("assistant", "It rains.")]),
                json!({
                    "gen_ai.request.stream": true,
                    "gen_ai.response.time_to_first_chunk": 0.1,
                    "gen_ai.response.finish_reasons": ["stop"],
                }),
            ),
        ),
    ]
}

#[test]
fn an_agents_trace_is_one_interaction_with_its_context() {
    let found = interaction(rag());
    assert_eq!(found.origin.span.as_deref(), Some("0202020202020202"));
    assert_eq!(found.origin.trace.as_deref(), Some("07070707070707070707070707070707"));
    assert_eq!(found.origin.user.as_deref(), Some("ann"), "from the span above");
    assert_eq!(found.origin.conversation.as_deref(), Some("c"));
    let inner = &found.interaction;
    assert_eq!((inner.query.as_str(), inner.actual.as_str()), ("weather?", "It rains."));
    assert_eq!(texts(&inner.history), ["be brief"]);
    assert_eq!(inner.documents.iter().map(|d| d.content.as_str()).collect::<Vec<_>>(), ["Paris", "Rain"]);
    assert_eq!(
        serde_json::to_value(&inner.tool_calls).expect("JSON"),
        json!([{ "id": "call", "name": "weather", "arguments": r#"{"city":"Paris"}"#, "output": "rain" }])
    );
    assert_eq!(inner.usage, Usage { input: Some(20), output: Some(10), ..Usage::default() });
    assert_eq!((inner.model.as_deref(), inner.finish_reason.as_deref()), (Some("m-1"), Some("stop")));
    assert_eq!(inner.metadata[metadata::MODEL_CALLS], "2");
    assert_eq!(inner.timing.total_us, Some(890_000));
    // The second call starts 300 ms after the agent and answers after another 100.
    assert_eq!(inner.timing.first_token_us, Some(400_000));
    assert_eq!(found.started_at.0, (START_MS as i64 + 10) * 1000);
}

#[test]
fn the_order_of_spans_does_not_matter_nor_does_sending_them_twice() {
    let records = records(rag());
    let expected = assemble(&records, &[]);
    let mut order: Vec<usize> = (0..records.len()).collect();
    // All rotations and their reversals stand for all orders.
    for turn in 0..records.len() {
        order.rotate_left(1);
        if turn % 2 == 0 {
            order.reverse();
        }
        let mut shuffled: Vec<SpanRecord> = order.iter().map(|at| records[*at].clone()).collect();
        assert_eq!(assemble(&shuffled, &[]), expected);
        shuffled.extend_from_slice(&records);
        assert_eq!(assemble(&shuffled, &[]), expected);
    }
}

#[test]
fn records_survive_being_kept_as_json() {
    let records = records(rag());
    let kept = serde_json::to_string(&records).expect("JSON");
    assert_eq!(serde_json::from_str::<Vec<SpanRecord>>(&kept).expect("JSON"), records);
}

#[test]
fn until_its_agent_arrives_a_models_call_is_an_interaction_of_its_own() {
    let mut spans = rag();
    let agent = spans.remove(1);
    let early = interactions(spans.clone());
    assert_eq!(early.len(), 2);
    spans.push(agent);
    let late = interaction(spans);
    assert!(early.iter().all(|one| one.id != late.id));
}

#[test]
fn each_models_call_without_an_agent_is_an_interaction() {
    let found = interactions(vec![
        span(1, 0, 0, 1000, json!({ "http.route": "/ask" })),
        span(2, 1, 10, 20, plain_chat("a?", "a")),
        span(
            3,
            1,
            30,
            40,
            json!({
                "gen_ai.operation.name": "retrieval",
                "gen_ai.retrieval.documents": [{ "id": "d", "content": "for b" }],
            }),
        ),
        span(4, 1, 50, 60, plain_chat("b?", "b")),
    ]);
    assert_eq!(found.iter().map(|one| one.interaction.actual.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    // What was searched beside them is for the call that follows.
    assert_eq!((found[0].interaction.documents.len(), found[1].interaction.documents.len()), (0, 1));
}

#[test]
fn two_agents_of_a_trace_are_two_interactions() {
    let found = interactions(vec![
        span(1, 0, 0, 1000, json!({})),
        span(2, 1, 10, 100, agent(json!({}))),
        span(3, 2, 20, 90, plain_chat("a?", "a")),
        span(4, 1, 200, 300, agent(json!({}))),
        span(5, 4, 210, 290, plain_chat("b?", "b")),
    ]);
    assert_eq!(found.iter().map(|one| one.interaction.actual.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn nested_agents_and_nested_libraries_count_no_token_twice() {
    let found = interaction(vec![
        span(1, 0, 0, 1000, agent(json!({ "gen_ai.usage.input_tokens": 999 }))),
        span(
            2,
            1,
            10,
            500,
            agent(json!({ "gen_ai.usage.input_tokens": 999, "gen_ai.usage.output_tokens": 999 })),
        ),
        span(3, 2, 20, 400, plain_chat("a?", "a")),
        // The same call again, as the library further down saw it.
        span(4, 3, 30, 390, plain_chat("a?", "a")),
        // A model whose tokens only the library further down knows.
        span(5, 1, 500, 900, json!({ "gen_ai.operation.name": "chat" })),
        span(6, 5, 510, 890, plain_chat("b?", "b")),
        span(
            7,
            1,
            900,
            950,
            json!({ "gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 999 }),
        ),
    ]);
    assert_eq!((found.interaction.usage.input, found.interaction.usage.output), (Some(20), Some(10)));
    assert_eq!(found.interaction.metadata[metadata::MODEL_CALLS], "2");
}

#[test]
fn an_agents_own_totals_stand_in_for_what_its_models_do_not_say() {
    let totals = json!({ "gen_ai.usage.input_tokens": 70, "gen_ai.usage.output_tokens": 30 });
    let silent = json!({ "gen_ai.operation.name": "chat" });
    let remote = interaction(vec![span(1, 0, 0, 10, agent(totals.clone()))]);
    assert_eq!((remote.interaction.usage.input, remote.interaction.usage.output), (Some(70), Some(30)));
    let found = interaction(vec![
        span(1, 0, 0, 10, agent(totals)),
        span(2, 1, 1, 2, plain_chat("a?", "a")),
        span(3, 1, 3, 4, silent.clone()),
    ]);
    assert_eq!(found.interaction.usage.input, Some(70));
    // Nobody says the sum, so it is missing: the silent call's tokens are not zero.
    let unknown = interaction(vec![
        span(1, 0, 0, 10, agent(json!({}))),
        span(2, 1, 1, 2, plain_chat("a?", "a")),
        span(3, 1, 3, 4, silent.clone()),
    ]);
    assert_eq!(unknown.interaction.usage.input, None);
    // A call that failed cost nothing that anybody counted.
    let retried = interaction(vec![
        span(1, 0, 0, 10, agent(json!({}))),
        failed(span(2, 1, 1, 2, silent), "429"),
        span(3, 1, 3, 4, plain_chat("a?", "a")),
    ]);
    assert_eq!(retried.interaction.usage.input, Some(10));
    assert_eq!(retried.interaction.error, None, "the agent has got over it");
}

#[test]
fn an_evaluators_models_are_none_of_the_products() {
    let found = interaction(vec![
        span(1, 0, 0, 1000, agent(json!({}))),
        span(2, 1, 10, 20, plain_chat("a?", "a")),
        span(3, 1, 30, 900, json!({ "openinference.span.kind": "EVALUATOR" })),
        span(4, 3, 40, 800, plain_chat("is it good?", "yes")),
    ]);
    assert_eq!((found.interaction.actual.as_str(), found.interaction.usage.input), ("a", Some(10)));
    assert_eq!(
        interactions(vec![
            span(3, 0, 30, 900, json!({ "openinference.span.kind": "EVALUATOR" })),
            span(4, 3, 40, 800, plain_chat("is it good?", "yes")),
        ]),
        []
    );
}

#[test]
fn a_guardrails_model_costs_tokens_but_does_not_answer() {
    let found = interaction(vec![
        span(1, 0, 0, 1000, agent(json!({}))),
        span(2, 1, 10, 20, plain_chat("a?", "a")),
        span(3, 1, 30, 900, json!({ "openinference.span.kind": "GUARDRAIL" })),
        span(4, 3, 40, 800, plain_chat("is it safe?", "safe")),
    ]);
    assert_eq!((found.interaction.query.as_str(), found.interaction.actual.as_str()), ("a?", "a"));
    assert_eq!(found.interaction.usage.input, Some(20));
}

#[test]
fn the_agents_own_words_win_over_its_models() {
    let found = interaction(vec![
        span(
            1,
            0,
            0,
            1000,
            json!({
                "openinference.span.kind": "AGENT",
                "input.value": "weather?",
                "output.value": "It rains in Paris.",
                "session.id": "s",
                "metadata": r#"{"plan":"free"}"#,
            }),
        ),
        span(
            2,
            1,
            10,
            20,
            chat(
                &[message("system", "be brief"), message("user", "Answer: weather? Context: ...")],
                &[message("assistant", "rain")],
            ),
        ),
    ]);
    let inner = &found.interaction;
    assert_eq!((inner.query.as_str(), inner.actual.as_str()), ("weather?", "It rains in Paris."));
    assert_eq!(texts(&inner.history), ["be brief"], "the conversation is the model's");
    assert_eq!(inner.metadata["plan"], "free");
    assert_eq!(found.origin.session.as_deref(), Some("s"));
}

#[test]
fn first_token_of_an_agent() {
    let streamed =
        |first: f64| json!({ "gen_ai.request.stream": true, "gen_ai.response.time_to_first_chunk": first });
    let first_token = |root: Json, model: Json| {
        interaction(vec![
            span(1, 0, 0, 1000, agent(root)),
            span(2, 1, 100, 900, and(plain_chat("a?", "a"), model)),
        ])
        .interaction
        .timing
    };
    let cases = [
        // Its own word.
        (streamed(0.7), streamed(0.1), Some(true), Some(700_000)),
        // The answering call's, from the agent's start.
        (json!({}), streamed(0.1), Some(true), Some(200_000)),
        (json!({ "gen_ai.request.stream": true }), streamed(0.1), Some(true), Some(200_000)),
        // It answered in one piece, whatever its model did.
        (json!({ "gen_ai.request.stream": false }), streamed(0.1), Some(false), None),
        // Nobody knows.
        (json!({ "gen_ai.request.stream": true }), json!({}), Some(true), None),
        (json!({}), json!({}), None, None),
        // A first token after the end cannot be.
        (json!({}), streamed(5.0), Some(true), None),
    ];
    for (root, model, expected, first) in cases {
        let timing = first_token(root.clone(), model.clone());
        assert_eq!((timing.streamed, timing.first_token_us), (expected, first), "{root} {model}");
    }
}

#[test]
fn the_first_token_event_of_openinference() {
    let mut one = span(
        1,
        0,
        0,
        1000,
        json!({ "openinference.span.kind": "LLM", "input.value": "q", "output.value": "a" }),
    );
    one.events = vec![event("First Token Stream Event", 250, json!({}))];
    one.status = Some(Status { code: StatusCode::Ok as i32, message: String::new() });
    let found = interaction(vec![one.clone()]);
    assert_eq!(found.interaction.timing.first_token_us, Some(250_000));
    assert_eq!(found.interaction.timing.streamed, Some(true));
    assert!(!found.origin.partial);
    one.status = None;
    assert!(interaction(vec![one]).origin.partial, "a finished stream has a status");
}

#[test]
fn a_broken_stream_is_partial_and_a_failure_is_an_error() {
    let answer = |more: Json| and(plain_chat("q", "so f"), more);
    let partial = [
        span(1, 0, 0, 10, answer(json!({ "error.type": "asyncio.exceptions.CancelledError" }))),
        failed(span(1, 0, 0, 10, answer(json!({}))), "context canceled"),
        span(1, 0, 0, 10, answer(json!({ "gen_ai.response.finish_reasons": ["error"] }))),
        span(1, 0, 0, 10, answer(json!({ "gen_ai.response.finish_reasons": ["cancelled"] }))),
    ];
    for one in partial {
        let found = interaction(vec![one]);
        assert!(found.origin.partial);
        assert_eq!((found.interaction.error, found.interaction.actual.as_str()), (None, "so f"));
    }
    let mut told = failed(span(1, 0, 0, 10, answer(json!({}))), "");
    told.events = vec![event(
        "exception",
        5,
        json!({ "exception.type": "shop.Broken", "exception.message": "no stock" }),
    )];
    let errors = [
        (failed(span(1, 0, 0, 10, answer(json!({}))), "timed out"), "timed out"),
        (failed(span(1, 0, 0, 10, answer(json!({ "error.type": "500" }))), "told to"), "500: told to"),
        (
            failed(
                span(1, 0, 0, 10, answer(json!({ "error.type": "<class 'openai.RateLimitError'>" }))),
                "RateLimitError: slow",
            ),
            "RateLimitError: slow",
        ),
        (failed(span(1, 0, 0, 10, answer(json!({}))), ""), "failed without a reason"),
        (
            span(
                1,
                0,
                0,
                10,
                answer(json!({ "error.type": "timeout", "gen_ai.response.finish_reasons": ["error"] })),
            ),
            "timeout",
        ),
        (told.clone(), "shop.Broken: no stock"),
    ];
    for (one, expected) in errors {
        let found = interaction(vec![one]);
        assert_eq!(found.interaction.error.as_deref(), Some(expected));
        assert!(!found.origin.partial);
    }
    told.status = None;
    assert_eq!(interaction(vec![told]).interaction.error, None, "an exception that was caught is no failure");
}

#[test]
fn a_tool_that_failed_is_not_the_interactions_error() {
    let found = interaction(vec![
        span(1, 0, 0, 1000, agent(json!({}))),
        failed(
            span(2, 1, 10, 20, json!({ "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "f" })),
            "no route",
        ),
        span(3, 1, 30, 40, plain_chat("a?", "a")),
    ]);
    assert_eq!(found.interaction.error, None);
    assert_eq!(found.interaction.tool_calls[0].error.as_deref(), Some("no route"));
}

#[test]
fn tools_without_ids_are_matched_by_name_and_arguments() {
    let call =
        |arguments: Json| json!({ "type": "tool_call", "id": null, "name": "f", "arguments": arguments });
    let tool = |id, arguments: &str, output: &str| {
        span(
            id,
            1,
            u64::from(id) * 10,
            u64::from(id) * 10 + 5,
            json!({
                "openinference.span.kind": "TOOL", "tool.name": "f", "input.value": arguments, "output.value": output,
            }),
        )
    };
    let found = interaction(vec![
        span(1, 0, 0, 1000, agent(json!({}))),
        span(
            2,
            1,
            1,
            2,
            chat(
                &[message("user", "q")],
                &[
                    json!({ "role": "assistant", "parts": [call(json!({ "n": 1 })), call(json!({ "n": 2 }))] }),
                ],
            ),
        ),
        tool(3, r#"{ "n": 2 }"#, "two"),
        tool(4, r#"{ "n": 1 }"#, "one"),
        tool(5, r#"{ "n": 3 }"#, "three"),
    ]);
    let outputs: Vec<_> = found.interaction.tool_calls.iter().map(|call| call.output.as_deref()).collect();
    assert_eq!(outputs, [Some("one"), Some("two"), Some("three")]);
}

#[test]
fn calls_of_earlier_turns_stay_in_the_history() {
    let earlier = [
        message("user", "first?"),
        json!({ "role": "assistant", "parts": [{ "type": "tool_call", "id": "1", "name": "f", "arguments": {} }] }),
        json!({ "role": "tool", "parts": [{ "type": "tool_call_response", "id": "1", "response": "out" }] }),
        message("assistant", "first."),
        message("user", "second?"),
    ];
    let found =
        interaction(vec![span(1, 0, 0, 10, chat(&earlier, &[message("assistant", "second.")]))]).interaction;
    assert_eq!((found.query.as_str(), found.tool_calls.len()), ("second?", 0));
    assert_eq!(texts(&found.history), ["first?", "", "first."]);
    assert_eq!(found.history[1].tool_calls[0].output.as_deref(), Some("out"));
}

#[test]
fn a_span_whose_parent_was_not_exported_is_below_the_agent_that_ran_around_it() {
    let mut spans = vec![
        // The parents 9 and 8 never come.
        span(1, 9, 0, 1000, agent(json!({}))),
        span(2, 8, 10, 20, plain_chat("a?", "a")),
    ];
    assert_eq!(interaction(spans.clone()).origin.span.as_deref(), Some("0101010101010101"));
    spans[1].parent_span_id = vec![9; 8];
    assert_eq!(interactions(spans.clone()).len(), 2, "it stands beside the agent");
    spans[1] = span(2, 8, 900, 1100, plain_chat("a?", "a"));
    assert_eq!(interactions(spans).len(), 2, "it ran longer than the agent");
}

#[test]
fn parents_in_a_loop_are_cut() {
    let looped = vec![
        span(1, 3, 0, 100, agent(json!({}))),
        span(2, 1, 10, 90, plain_chat("a?", "a")),
        span(3, 2, 20, 80, json!({})),
        span(4, 4, 200, 300, plain_chat("b?", "b")),
        // A loop of spans that are nobody's.
        span(5, 6, 0, 1, json!({})),
        span(6, 5, 0, 1, json!({})),
    ];
    let found = interactions(looped);
    assert_eq!(found.iter().map(|one| one.interaction.actual.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_deep_and_a_wide_trace_end_in_their_time() {
    let ids = |number: u32| {
        let mut id = [1; 8];
        id[..4].copy_from_slice(&number.to_be_bytes());
        id.to_vec()
    };
    for wide in [false, true] {
        let spans: Vec<Span> = (0..20_000_u32)
            .map(|number| {
                let mut one = span(1, 0, 0, 100, agent(json!({})));
                one.span_id = ids(number);
                if number > 0 {
                    one.parent_span_id = ids(if wide { 0 } else { number - 1 });
                }
                one
            })
            .collect();
        let started = std::time::Instant::now();
        assert_eq!(interactions(spans).len(), 1);
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}

#[test]
fn many_calls_below_many_spans_end_in_their_time() {
    // A deep chain that stands for nothing, all calls at its end, and tools without ids.
    let id = |number: u32| [&number.to_be_bytes()[..], &[1; 4]].concat();
    let depth = 10_000;
    let mut spans = Vec::new();
    for number in 0..3 * depth {
        let mut one = match number / depth {
            0 => span(1, 0, 0, 100, json!({})),
            1 => span(1, 0, 0, 100, plain_chat("q", "a")),
            _ => span(
                1,
                0,
                0,
                100,
                json!({ "openinference.span.kind": "TOOL", "tool.name": "f", "input.value": "{}" }),
            ),
        };
        one.span_id = id(number);
        if number > 0 {
            one.parent_span_id = id((number - 1).min(depth - 1));
        }
        spans.push(one);
    }
    let records = records(spans);
    let started = std::time::Instant::now();
    assert_eq!(assemble(&records, &[]).len() as u32, depth);
    let mut agent = records;
    agent[0].kind = super::super::SpanKind::Agent;
    assert_eq!(assemble(&agent, &[])[0].interaction.tool_calls.len() as u32, depth);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}
