//! From a request's body to records, in either of OTLP's encodings.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::record::{LogFact, SpanRecord};
use super::{json, logs, spans};

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// A body that is no request at all.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the protobuf message.
    #[error("the body is not an OTLP request in protobuf: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// Not the JSON object.
    #[error("the body is not an OTLP request in JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Why one span or log record is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It cannot be told from others.
    #[error("the trace id is not 16 bytes, or is zero")]
    Trace,
    /// It cannot be told from others.
    #[error("the span id is not 8 bytes, or is zero")]
    Span,
    /// It cannot be placed.
    #[error("the parent span id is not 8 bytes")]
    Parent,
    /// Its duration would be negative.
    #[error("the span ends before it starts")]
    EndsBeforeStart,
    /// Its clock cannot have been set.
    #[error("the time lies before the year 2000 or after 2200")]
    Time,
    /// It is an evaluation's result without one.
    #[error("the evaluation has no name, or neither a value nor a label")]
    Score,
}

/// What came out of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<T> {
    /// What can be used, in the request's order.
    pub records: Vec<T>,
    /// What cannot, by its place among all of the request's spans or log records.
    pub rejected: Vec<(usize, Rejected)>,
}

impl<T> Default for Decoded<T> {
    fn default() -> Self {
        Self { records: Vec::new(), rejected: Vec::new() }
    }
}

/// The spans of an `ExportTraceServiceRequest`.
pub fn decode_traces(body: &[u8], encoding: Encoding) -> Result<Decoded<SpanRecord>, DecodeError> {
    Ok(spans::from_export(match encoding {
        Encoding::Protobuf => ExportTraceServiceRequest::decode(body)?,
        Encoding::Json => json::traces(body)?,
    }))
}

/// The GenAI events among an `ExportLogsServiceRequest`'s records. Other log
/// records are none of ours and are neither returned nor rejected.
pub fn decode_logs(body: &[u8], encoding: Encoding) -> Result<Decoded<LogFact>, DecodeError> {
    Ok(logs::from_logs_export(match encoding {
        Encoding::Protobuf => ExportLogsServiceRequest::decode(body)?,
        Encoding::Json => json::logs(body)?,
    }))
}

/// The id in some bytes; none where they are too few, too many or all zero.
pub(super) fn id<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let id: [u8; N] = bytes.try_into().ok()?;
    (id != [0; N]).then_some(id)
}

/// 2000-01-01 and 2200-01-01, in nanoseconds.
const TIMES: std::ops::Range<u64> = 946_684_800_000_000_000..7_258_118_400_000_000_000;

/// Microseconds of an instant that can have been.
pub(super) fn micros(ns: u64) -> Result<i64, Rejected> {
    if TIMES.contains(&ns) { Ok((ns / 1000) as i64) } else { Err(Rejected::Time) }
}
