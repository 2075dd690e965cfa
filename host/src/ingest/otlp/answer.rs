//! The bodies that a client gets back.
//!
//! A request that was taken in part is a success with `partial_success`, so
//! that the client does not send all of it again.

use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::json;

use super::decode::{Encoding, Rejected};

/// Rejections that are named one by one; the rest is counted.
const NAMED_MAX: usize = 5;

/// The answer to a trace request, as gRPC wants it.
pub fn traces_response(rejected: &[(usize, Rejected)]) -> ExportTraceServiceResponse {
    let partial_success = (!rejected.is_empty()).then(|| ExportTracePartialSuccess {
        rejected_spans: rejected.len() as i64,
        error_message: reasons("span", rejected),
    });
    ExportTraceServiceResponse { partial_success }
}

/// The answer to a log request, as gRPC wants it.
pub fn logs_response(rejected: &[(usize, Rejected)]) -> ExportLogsServiceResponse {
    let partial_success = (!rejected.is_empty()).then(|| ExportLogsPartialSuccess {
        rejected_log_records: rejected.len() as i64,
        error_message: reasons("log record", rejected),
    });
    ExportLogsServiceResponse { partial_success }
}

/// The body that answers a trace request.
pub fn answer_traces(rejected: &[(usize, Rejected)], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => traces_response(rejected).encode_to_vec(),
        Encoding::Json => partial("rejectedSpans", reasons("span", rejected), rejected.len()),
    }
}

/// The body that answers a log request.
pub fn answer_logs(rejected: &[(usize, Rejected)], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => logs_response(rejected).encode_to_vec(),
        Encoding::Json => partial("rejectedLogRecords", reasons("log record", rejected), rejected.len()),
    }
}

/// The body of a failed request: a `google.rpc.Status`. The specification asks
/// for no code over HTTP, because the HTTP status says it.
pub fn answer_error(message: &str, encoding: Encoding) -> Vec<u8> {
    #[derive(Message)]
    struct Status {
        #[prost(string, tag = "2")]
        message: String,
    }
    match encoding {
        Encoding::Protobuf => Status { message: message.to_owned() }.encode_to_vec(),
        Encoding::Json => json!({ "message": message }).to_string().into_bytes(),
    }
}

/// 64-bit numbers are strings in protobuf's JSON.
fn partial(field: &str, message: String, count: usize) -> Vec<u8> {
    if count == 0 {
        return b"{}".to_vec();
    }
    json!({ "partialSuccess": { field: count.to_string(), "errorMessage": message } })
        .to_string()
        .into_bytes()
}

fn reasons(what: &str, rejected: &[(usize, Rejected)]) -> String {
    let mut named: Vec<String> =
        rejected.iter().take(NAMED_MAX).map(|(index, why)| format!("{what} {index}: {why}")).collect();
    if rejected.len() > NAMED_MAX {
        named.push(format!("and {} more", rejected.len() - NAMED_MAX));
    }
    named.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_was_taken_whole_has_an_empty_answer() {
        for answer in [answer_traces, answer_logs] {
            assert_eq!(answer(&[], Encoding::Protobuf), b"");
            assert_eq!(answer(&[], Encoding::Json), b"{}");
        }
    }

    #[test]
    fn what_was_rejected_is_counted_and_the_first_reasons_are_named() {
        let rejected: Vec<_> = (0..7).map(|index| (index, Rejected::Time)).collect();
        let said = answer_traces(&rejected, Encoding::Json);
        let said: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
        assert_eq!(said["partialSuccess"]["rejectedSpans"], "7");
        let message = said["partialSuccess"]["errorMessage"].as_str().expect("text");
        assert!(message.starts_with("span 0: the time lies before"), "{message}");
        assert!(message.ends_with("; and 2 more"), "{message}");
        let binary = answer_traces(&rejected, Encoding::Protobuf);
        let binary = ExportTraceServiceResponse::decode(&binary[..]).expect("a response");
        let partial = binary.partial_success.expect("partial");
        assert_eq!((partial.rejected_spans, partial.error_message.as_str()), (7, message));
        let logs = answer_logs(&rejected[..1], Encoding::Protobuf);
        let logs = ExportLogsServiceResponse::decode(&logs[..]).expect("a response").partial_success;
        assert_eq!(logs.expect("partial").rejected_log_records, 1);
    }

    #[test]
    fn an_error_is_a_status_with_its_message() {
        // Field 2, length-delimited, of google.rpc.Status.
        assert_eq!(answer_error("no", Encoding::Protobuf), b"\x12\x02no");
        assert_eq!(answer_error("no", Encoding::Json), br#"{"message":"no"}"#);
    }
}
