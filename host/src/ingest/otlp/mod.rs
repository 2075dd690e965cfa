//! OpenTelemetry traces and logs, turned into interactions.
//!
//! Two steps that know nothing of each other's time. Decoding turns each span
//! and each GenAI log event into a compact record, whatever instrumentation
//! wrote it; [`assemble()`] turns all that is known of one trace into its
//! interactions. Records are kept between the two, because the spans of a trace
//! arrive in any order and in many requests.
//!
//! Decoding never fails for one span's sake: what cannot be used is rejected
//! with its reason and the others stay. Nothing here waits, stores or sends.

mod answer;
mod assemble;
mod attributes;
mod broken_off;
mod content;
mod decode;
mod documents;
mod events;
mod flattened;
mod hex;
mod join;
mod json;
mod logs;
mod messages;
mod metadata;
mod names;
mod raw;
mod record;
mod spans;
mod tools;
mod tracestate;
mod tree;
mod usage;
mod value;

#[cfg(test)]
mod tests;

pub use answer::{answer_error, answer_logs, answer_traces, logs_response, traces_response};
pub use assemble::assemble;
pub use decode::{DecodeError, Decoded, Encoding, Rejected, decode_logs, decode_traces};
pub use logs::from_logs_export;
pub use record::{Facts, LogFact, LogWhat, SpanKind, SpanRecord};
pub use spans::from_export;
