//! Bodies that are broken on purpose, and the two encodings side by side.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::super::{DecodeError, Encoding, Rejected, decode_logs, decode_traces};
use super::recorded::body;
use super::*;

const TRACES: [&str; 4] = ["genai", "genai_events", "genai_legacy", "openinference"];
const LOGS: [&str; 3] = ["genai", "genai_events", "genai_legacy"];

fn traces_as_json(body: &[u8]) -> Vec<u8> {
    let request = ExportTraceServiceRequest::decode(body).expect("a request");
    serde_json::to_vec(&request).expect("JSON")
}

fn logs_as_json(body: &[u8]) -> Vec<u8> {
    let request = ExportLogsServiceRequest::decode(body).expect("a request");
    serde_json::to_vec(&request).expect("JSON")
}

#[test]
fn both_encodings_give_the_same_records() {
    for mode in TRACES {
        let body = body(&format!("{mode}_traces"));
        let binary = decode_traces(&body, Encoding::Protobuf).expect("protobuf");
        let json = decode_traces(&traces_as_json(&body), Encoding::Json).expect("JSON");
        assert!(!binary.records.is_empty());
        assert_eq!(binary, json, "{mode}");
    }
    for mode in LOGS {
        let body = body(&format!("{mode}_logs"));
        let binary = decode_logs(&body, Encoding::Protobuf).expect("protobuf");
        let json = decode_logs(&logs_as_json(&body), Encoding::Json).expect("JSON");
        assert!(!binary.records.is_empty());
        assert_eq!(binary, json, "{mode}");
    }
}

/// The example of the specification's repository (`examples/trace.json`,
/// opentelemetry-proto 1.x), made a model's call, with what a lenient receiver must bear.
#[test]
fn json_by_the_specification() {
    let request = r#"{
        "resourceSpans": [{
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "my.service" } }], "droppedAttributesCount": 0 },
            "schemaUrl": "https://host/schema",
            "scopeSpans": [{
                "scope": { "name": "my.library", "version": "1.0.0", "attributes": [] },
                "spans": [
                    {
                        "traceId": "5B8EFFF798038103D269B633813FC60C",
                        "spanId": "EEE19B7EC3C1B174",
                        "parentSpanId": "EEE19B7EC3C1B173",
                        "name": "I'm a server span",
                        "startTimeUnixNano": "1544712660000000000",
                        "endTimeUnixNano": 1544712661000000000,
                        "kind": 2,
                        "links": [{ "traceId": "x" }],
                        "field_of_tomorrow": { "deep": [1] },
                        "status": null,
                        "attributes": [
                            { "key": "gen_ai.operation.name", "value": { "stringValue": "chat" } },
                            { "key": "gen_ai.usage.input_tokens", "value": { "intValue": "12" } },
                            { "key": "gen_ai.usage.output_tokens", "value": { "intValue": 7 } },
                            { "key": "gen_ai.request.top_p", "value": { "doubleValue": 1 } },
                            { "key": "not.a.number", "value": { "doubleValue": "NaN" } },
                            { "key": "bytes", "value": { "bytesValue": "/w==" } },
                            { "key": "tomorrow", "value": { "newValue": { "deep": [] } } },
                            { "key": "nothing", "value": null },
                            { "key": "list", "value": { "arrayValue": { "values": [{ "boolValue": true }, {}] } } },
                            { "key": "map", "value": { "kvlistValue": { "values": [{ "key": "a", "value": { "intValue": "1" } }] } } }
                        ]
                    },
                    { "traceId": "no digits", "spanId": "EEE19B7EC3C1B174" },
                    { "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": null },
                    { "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174", "parentSpanId": "ABC" }
                ]
            }]
        }]
    }"#;
    let decoded = decode_traces(request.as_bytes(), Encoding::Json).expect("JSON");
    assert_eq!(decoded.rejected, [(1, Rejected::Trace), (2, Rejected::Span), (3, Rejected::Parent)]);
    let found = &decoded.records[0];
    assert_eq!(found.span, [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74]);
    assert_eq!((found.started_at_us, found.ended_at_us), (1_544_712_660_000_000, 1_544_712_661_000_000));
    assert_eq!((found.facts.usage.input, found.facts.usage.output), (Some(12), Some(7)));
    assert_eq!(
        json!(found.facts.metadata),
        json!({ "gen_ai.request.top_p": "1", "not.a.number": "NaN", "bytes": "/w==", "list": "[true,null]", "map": r#"{"a":1}"# })
    );
}

#[test]
fn one_spans_mistake_is_that_spans() {
    let good = |id| span(id, 0, 0, 10, json!({ "gen_ai.operation.name": "chat" }));
    let with = |change: fn(&mut Span)| {
        let mut one = good(9);
        change(&mut one);
        one
    };
    let decoded = from_export(request(vec![
        good(1),
        with(|one| one.trace_id = vec![0; 16]),
        with(|one| one.trace_id.truncate(15)),
        with(|one| one.span_id = vec![0; 8]),
        with(|one| one.span_id.clear()),
        with(|one| one.parent_span_id = vec![1; 7]),
        with(|one| one.end_time_unix_nano = one.start_time_unix_nano - 1),
        with(|one| one.start_time_unix_nano = 0),
        with(|one| one.end_time_unix_nano = u64::MAX),
        good(2),
    ]));
    assert_eq!(decoded.records.iter().map(|one| one.span[0]).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(
        decoded.rejected,
        [
            (1, Rejected::Trace),
            (2, Rejected::Trace),
            (3, Rejected::Span),
            (4, Rejected::Span),
            (5, Rejected::Parent),
            (6, Rejected::EndsBeforeStart),
            (7, Rejected::Time),
            (8, Rejected::Time),
        ]
    );
}

#[test]
fn a_parent_of_zeros_is_none() {
    let mut one = span(1, 0, 0, 10, json!({}));
    one.parent_span_id = vec![0; 8];
    assert_eq!(record(one).parent, None);
}

#[test]
fn a_body_that_is_no_request_is_refused_with_its_reason() {
    let error = decode_traces(b"{", Encoding::Json).expect_err("cut");
    assert!(matches!(error, DecodeError::Json(_)), "{error}");
    for list in ["[]", " [null]"] {
        let error = decode_logs(list.as_bytes(), Encoding::Json).expect_err("a list").to_string();
        assert!(error.contains("not an object"), "{error}");
    }
    assert!(error.to_string().starts_with("the body is not an OTLP request in JSON: "), "{error}");
    let error = decode_traces(&[0xff; 3], Encoding::Protobuf).expect_err("noise");
    assert!(matches!(error, DecodeError::Protobuf(_)), "{error}");
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let empty: &[u8] = if encoding == Encoding::Json { b"{}" } else { b"" };
        assert!(decode_traces(empty, encoding).expect("an empty request").records.is_empty());
        assert!(decode_logs(empty, encoding).expect("an empty request").records.is_empty());
    }
}

/// A value in so many lists, as a body of either encoding.
fn nested(depth: usize) -> (Vec<u8>, Vec<u8>) {
    // Built from the inside, because no encoder would write it.
    let field = |number: u8, inside: &[u8]| {
        let mut bytes = vec![number << 3 | 2];
        prost::encoding::encode_varint(inside.len() as u64, &mut bytes);
        bytes.extend_from_slice(inside);
        bytes
    };
    let mut inside = Vec::new();
    for _ in 0..depth {
        inside = field(5, &field(1, &inside));
    }
    let attribute = [field(1, b"gen_ai.input.messages"), field(2, &inside)].concat();
    let one = [field(1, &[7; 16]), field(2, &[1; 8]), field(9, &attribute)].concat();
    let binary = field(1, &field(2, &field(2, &one)));
    let json = format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"attributes":[{{"key":"gen_ai.input.messages","value":{}{}}}]}}]}}]}}]}}"#,
        r#"{"arrayValue":{"values":["#.repeat(depth),
        "]}}".repeat(depth),
    );
    (binary, json.into_bytes())
}

#[test]
fn deep_nesting_is_refused_and_shallow_nesting_is_not() {
    let (binary, json) = nested(10);
    assert!(decode_traces(&binary, Encoding::Protobuf).is_ok());
    assert!(decode_traces(&json, Encoding::Json).is_ok());
    for depth in [200, 20_000] {
        let (binary, json) = nested(depth);
        assert!(decode_traces(&binary, Encoding::Protobuf).is_err());
        assert!(decode_traces(&json, Encoding::Json).is_err());
    }
}

#[test]
fn deep_nesting_within_a_text_is_borne() {
    for open in ["[", r#"{"a":"#, r#"[{"parts":["#, r#"[{"content":["#] {
        let deep = open.repeat(100_000);
        for name in [
            "gen_ai.input.messages",
            "gen_ai.output.messages",
            "gen_ai.system_instructions",
            "metadata",
            "gen_ai.retrieval.documents",
            "llm.invocation_parameters",
        ] {
            let found = interactions(vec![span(
                1,
                0,
                0,
                10,
                json!({ "gen_ai.operation.name": "chat", name: deep.clone() }),
            )]);
            assert_eq!(found.len(), 1);
        }
        let json = json!({ "gen_ai.operation.name": "chat", "input.value": deep, "input.mime_type": "application/json" });
        assert_eq!(interaction(vec![span(1, 0, 0, 10, json)]).interaction.query.len(), open.len() * 100_000);
    }
}

/// Changes a body in one of the ways in which bodies break.
fn mutate(random: &mut SmallRng, body: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..4) {
        if body.is_empty() {
            return;
        }
        let at = random.random_range(0..body.len());
        match random.random_range(0..10) {
            // Most of a body is text, and text stays text: this is what reaches furthest.
            6.. => body[at] = b"[]{}\",:0-aN."[random.random_range(0..12)],
            0 => body[at] = random.random(),
            1 => body[at] ^= 1 << random.random_range(0..8),
            2 => body.truncate(at),
            3 => {
                let to = random.random_range(at..body.len());
                body.drain(at..to.min(at + 64));
            }
            4 => {
                let to = (at + random.random_range(0..64)).min(body.len());
                let copy = body[at..to].to_vec();
                body.splice(at..at, copy);
            }
            _ => {
                let with = ["[", "{", "\"", "\\u0000", "-1", "1e999", "null", "99999999999999999999"];
                body.splice(at..at, with[random.random_range(0..with.len())].bytes());
            }
        }
    }
}

#[test]
fn ten_thousand_broken_bodies_are_borne_in_their_time() {
    let mut originals = Vec::new();
    for mode in TRACES {
        let body = body(&format!("{mode}_traces"));
        originals.push((traces_as_json(&body), Encoding::Json, true));
        originals.push((body, Encoding::Protobuf, true));
    }
    for mode in LOGS {
        let body = body(&format!("{mode}_logs"));
        originals.push((logs_as_json(&body), Encoding::Json, false));
        originals.push((body, Encoding::Protobuf, false));
    }
    let mut random = SmallRng::seed_from_u64(20_260_101);
    let (mut taken, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    for turn in 0..10_000 {
        let (original, encoding, traces) = &originals[turn % originals.len()];
        let mut body = original.clone();
        mutate(&mut random, &mut body);
        let started = Instant::now();
        let decoded = if *traces {
            decode_traces(&body, *encoding).map(|decoded| {
                // Whatever was taken can also be assembled, with any log events.
                assemble(&decoded.records, &[]).len()
            })
        } else {
            decode_logs(&body, *encoding).map(|decoded| {
                let spans = records(vec![span(1, 0, 0, 10, json!({ "gen_ai.operation.name": "chat" }))]);
                let mut logs = decoded.records;
                for log in &mut logs {
                    (log.trace, log.span) = (spans[0].trace, spans[0].span);
                }
                assemble(&spans, &logs).len()
            })
        };
        slowest = slowest.max(started.elapsed());
        match decoded {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken and {refused} refused try too little");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}
