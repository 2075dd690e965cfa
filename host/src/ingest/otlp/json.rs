//! OTLP in JSON, read into the protobuf types.
//!
//! `opentelemetry-proto` can read it too, but refuses a whole request for a
//! field that it does not know inside a value, for a null, for a number such as
//! `"NaN"`, and for one span's malformed id. The specification asks receivers to
//! ignore unknown fields, and one span's mistake is that span's. So only what is
//! used is read here. Bytes stay the base64 text that they are.

use std::fmt;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de::DeserializeOwned};

use super::hex;

/// Reads an object. Left alone, serde takes a list for the fields in order.
fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    match body.trim_ascii_start() {
        [b'[', ..] => Err(de::Error::custom("a list, not an object")),
        body => serde_json::from_slice(body),
    }
}

/// Reads an `ExportTraceServiceRequest`.
pub(super) fn traces(body: &[u8]) -> Result<ExportTraceServiceRequest, serde_json::Error> {
    let request: Traces = object(body)?;
    let span = |span: Span| trace::Span {
        trace_id: span.trace_id,
        span_id: span.span_id,
        parent_span_id: span.parent_span_id,
        trace_state: span.trace_state,
        name: span.name,
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        attributes: span.attributes.into_iter().map(KeyValue::into).collect(),
        events: span.events.into_iter().map(Event::into).collect(),
        status: span.status.map(|status| trace::Status { message: status.message, code: status.code }),
        ..trace::Span::default()
    };
    let group = |group: ResourceSpans| trace::ResourceSpans {
        resource: group.resource.map(Resource::into),
        scope_spans: group
            .scope_spans
            .into_iter()
            .map(|scope| trace::ScopeSpans {
                spans: scope.spans.into_iter().map(span).collect(),
                ..trace::ScopeSpans::default()
            })
            .collect(),
        ..trace::ResourceSpans::default()
    };
    Ok(ExportTraceServiceRequest { resource_spans: request.resource_spans.into_iter().map(group).collect() })
}

/// Reads an `ExportLogsServiceRequest`.
pub(super) fn logs(body: &[u8]) -> Result<ExportLogsServiceRequest, serde_json::Error> {
    let request: Logs = object(body)?;
    let record = |log: LogRecord| logs::LogRecord {
        time_unix_nano: log.time_unix_nano,
        observed_time_unix_nano: log.observed_time_unix_nano,
        body: log.body.map(AnyValue::into),
        attributes: log.attributes.into_iter().map(KeyValue::into).collect(),
        trace_id: log.trace_id,
        span_id: log.span_id,
        event_name: log.event_name,
        ..logs::LogRecord::default()
    };
    let group = |group: ResourceLogs| logs::ResourceLogs {
        scope_logs: group
            .scope_logs
            .into_iter()
            .map(|scope| logs::ScopeLogs {
                log_records: scope.log_records.into_iter().map(record).collect(),
                ..logs::ScopeLogs::default()
            })
            .collect(),
        ..logs::ResourceLogs::default()
    };
    Ok(ExportLogsServiceRequest { resource_logs: request.resource_logs.into_iter().map(group).collect() })
}

#[derive(Deserialize)]
struct Traces {
    #[serde(default, rename = "resourceSpans", deserialize_with = "nullable")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
struct ResourceSpans {
    #[serde(default)]
    resource: Option<Resource>,
    #[serde(default, rename = "scopeSpans", deserialize_with = "nullable")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default, deserialize_with = "nullable")]
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    #[serde(default, deserialize_with = "nullable")]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    #[serde(default, deserialize_with = "id")]
    trace_id: Vec<u8>,
    #[serde(default, deserialize_with = "id")]
    span_id: Vec<u8>,
    #[serde(default, deserialize_with = "id")]
    parent_span_id: Vec<u8>,
    #[serde(default, deserialize_with = "nullable")]
    trace_state: String,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "time")]
    start_time_unix_nano: u64,
    #[serde(default, deserialize_with = "time")]
    end_time_unix_nano: u64,
    #[serde(default, deserialize_with = "nullable")]
    attributes: Vec<KeyValue>,
    #[serde(default, deserialize_with = "nullable")]
    events: Vec<Event>,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default, deserialize_with = "time")]
    time_unix_nano: u64,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "nullable")]
    message: String,
    #[serde(default, deserialize_with = "code")]
    code: i32,
}

#[derive(Deserialize)]
struct Logs {
    #[serde(default, rename = "resourceLogs", deserialize_with = "nullable")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Deserialize)]
struct ResourceLogs {
    #[serde(default, rename = "scopeLogs", deserialize_with = "nullable")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Deserialize)]
struct ScopeLogs {
    #[serde(default, rename = "logRecords", deserialize_with = "nullable")]
    log_records: Vec<LogRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogRecord {
    #[serde(default, deserialize_with = "time")]
    time_unix_nano: u64,
    #[serde(default, deserialize_with = "time")]
    observed_time_unix_nano: u64,
    #[serde(default)]
    body: Option<AnyValue>,
    #[serde(default, deserialize_with = "nullable")]
    attributes: Vec<KeyValue>,
    #[serde(default, deserialize_with = "id")]
    trace_id: Vec<u8>,
    #[serde(default, deserialize_with = "id")]
    span_id: Vec<u8>,
    #[serde(default, deserialize_with = "nullable")]
    event_name: String,
}

#[derive(Deserialize)]
struct KeyValue {
    #[serde(default, deserialize_with = "nullable")]
    key: String,
    #[serde(default)]
    value: Option<AnyValue>,
}

#[derive(Deserialize)]
struct ArrayValue {
    #[serde(default, deserialize_with = "nullable")]
    values: Vec<AnyValue>,
}

#[derive(Deserialize)]
struct KeyValueList {
    #[serde(default, deserialize_with = "nullable")]
    values: Vec<KeyValue>,
}

#[derive(Default)]
struct AnyValue(Option<Value>);

impl From<AnyValue> for common::AnyValue {
    fn from(value: AnyValue) -> Self {
        Self { value: value.0 }
    }
}

impl From<KeyValue> for common::KeyValue {
    fn from(entry: KeyValue) -> Self {
        Self { key: entry.key, value: entry.value.map(AnyValue::into), ..Self::default() }
    }
}

impl From<Event> for trace::span::Event {
    fn from(event: Event) -> Self {
        Self {
            time_unix_nano: event.time_unix_nano,
            name: event.name,
            attributes: event.attributes.into_iter().map(KeyValue::into).collect(),
            ..Self::default()
        }
    }
}

impl From<Resource> for resource::Resource {
    fn from(resource: Resource) -> Self {
        Self { attributes: resource.attributes.into_iter().map(KeyValue::into).collect(), ..Self::default() }
    }
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOf;

        impl<'de> Visitor<'de> for OneOf {
            type Value = AnyValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one typed value")
            }

            fn visit_unit<E>(self) -> Result<AnyValue, E> {
                Ok(AnyValue(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyValue, A::Error> {
                let mut found = None;
                while let Some(kind) = map.next_key::<Kind>()? {
                    let value = match kind {
                        Kind::StringValue | Kind::BytesValue => {
                            map.next_value::<Option<_>>()?.map(Value::StringValue)
                        }
                        Kind::BoolValue => map.next_value::<Option<_>>()?.map(Value::BoolValue),
                        Kind::IntValue => {
                            map.next_value::<Option<Number<i64>>>()?.map(|n| Value::IntValue(n.0))
                        }
                        Kind::DoubleValue => {
                            map.next_value::<Option<Number<f64>>>()?.map(|n| Value::DoubleValue(n.0))
                        }
                        Kind::ArrayValue => map.next_value::<Option<ArrayValue>>()?.map(|list| {
                            let values = list.values.into_iter().map(AnyValue::into).collect();
                            Value::ArrayValue(common::ArrayValue { values })
                        }),
                        Kind::KvlistValue => map.next_value::<Option<KeyValueList>>()?.map(|list| {
                            let values = list.values.into_iter().map(KeyValue::into).collect();
                            Value::KvlistValue(common::KeyValueList { values })
                        }),
                        Kind::Other => {
                            map.next_value::<IgnoredAny>()?;
                            None
                        }
                    };
                    found = value.or(found);
                }
                Ok(AnyValue(found))
            }
        }

        from.deserialize_any(OneOf)
    }
}

/// Names of a value's types.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    StringValue,
    BoolValue,
    IntValue,
    DoubleValue,
    ArrayValue,
    KvlistValue,
    BytesValue,
    #[serde(other)]
    Other,
}

/// A number, or text that holds one, as 64-bit numbers and `NaN` are written.
struct Number<T>(T);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText<T> {
    Number(T),
    Text(String),
}

impl<'de, T: DeserializeOwned + std::str::FromStr> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match NumberOrText::<T>::deserialize(from)? {
            NumberOrText::Number(number) => Ok(Self(number)),
            NumberOrText::Text(text) => text
                .parse()
                .map(Self)
                .map_err(|_| de::Error::custom(format!("`{text}` is not a number of its type"))),
        }
    }
}

/// The default for null.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(Option::<Number<u64>>::deserialize(from)?.map_or(0, |number| number.0))
}

/// Bytes of hexadecimal digits. What is none becomes one byte, which is no id
/// either, so that only its span is rejected.
fn id<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(from)?.unwrap_or_default();
    Ok(hex::decode(&text).unwrap_or_else(|| vec![0]))
}

/// A status code, by its number or by its name.
fn code<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    Ok(match Option::<NumberOrText<i32>>::deserialize(from)? {
        Some(NumberOrText::Number(code)) => code,
        Some(NumberOrText::Text(name)) => {
            trace::status::StatusCode::from_str_name(&name).map_or(0, |code| code as i32)
        }
        None => 0,
    })
}
