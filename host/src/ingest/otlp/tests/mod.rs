//! Whole requests in, records and interactions out.

mod attributes;
mod events;
mod malformed;
mod recorded;
mod traces;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::{SpanRecord, assemble, from_export};
use crate::domain::production::ProductionInteraction;

/// 2026-01-01, the instant from which tests count.
const START_MS: u64 = 1_767_225_600_000;

/// A value of JSON as an attribute's value.
fn value(json: serde_json::Value) -> AnyValue {
    use serde_json::Value as Json;
    let value = match json {
        Json::Null => None,
        Json::Bool(value) => Some(Value::BoolValue(value)),
        Json::Number(number) => Some(match number.as_i64() {
            Some(number) => Value::IntValue(number),
            None => Value::DoubleValue(number.as_f64().expect("a number")),
        }),
        Json::String(text) => Some(Value::StringValue(text)),
        Json::Array(values) => {
            Some(Value::ArrayValue(ArrayValue { values: values.into_iter().map(self::value).collect() }))
        }
        Json::Object(entries) => Some(Value::KvlistValue(KeyValueList {
            values: entries.into_iter().map(|(key, json)| attribute(&key, json)).collect(),
        })),
    };
    AnyValue { value }
}

fn attribute(key: &str, json: serde_json::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value(json)), ..KeyValue::default() }
}

fn attributes(json: serde_json::Value) -> Vec<KeyValue> {
    let serde_json::Value::Object(entries) = json else { panic!("attributes are an object") };
    entries.into_iter().map(|(key, json)| attribute(&key, json)).collect()
}

/// A span of the one trace of a test, from and to milliseconds after the start.
fn span(id: u8, parent: u8, from_ms: u64, to_ms: u64, json: serde_json::Value) -> Span {
    Span {
        trace_id: vec![7; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: format!("span {id}"),
        start_time_unix_nano: (START_MS + from_ms) * 1_000_000,
        end_time_unix_nano: (START_MS + to_ms) * 1_000_000,
        attributes: attributes(json),
        ..Span::default()
    }
}

fn event(name: &str, at_ms: u64, json: serde_json::Value) -> Event {
    Event {
        name: name.to_owned(),
        time_unix_nano: (START_MS + at_ms) * 1_000_000,
        attributes: attributes(json),
        ..Event::default()
    }
}

fn failed(mut span: Span, message: &str) -> Span {
    span.status = Some(Status { code: StatusCode::Error as i32, message: message.to_owned() });
    span
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: attributes(serde_json::json!({ "service.name": "shop" })),
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

fn records(spans: Vec<Span>) -> Vec<SpanRecord> {
    let decoded = from_export(request(spans));
    assert_eq!(decoded.rejected, []);
    decoded.records
}

fn record(span: Span) -> SpanRecord {
    records(vec![span]).remove(0)
}

fn interactions(spans: Vec<Span>) -> Vec<ProductionInteraction> {
    assemble(&records(spans), &[])
}

/// The only interaction of some spans.
fn interaction(spans: Vec<Span>) -> ProductionInteraction {
    let mut all = interactions(spans);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn texts(messages: &[crate::domain::interaction::Message]) -> Vec<String> {
    messages.iter().map(|message| super::content::split(&message.parts).0).collect()
}
