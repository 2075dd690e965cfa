//! OpenTelemetry's receiver (OTLP/HTTP 1.x): traces, and logs for GenAI events.
//!
//! What is acknowledged is on disk. A full queue answers 503 with
//! `Retry-After`, which exporters repeat; 429 would make some drop the batch.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::Api;
use super::extract::Bytes;
use super::problem::Problem;
use crate::ingest::IngestError;
use crate::ingest::otlp::{self, Encoding, Rejected};

/// Receive traces (OTLP)
///
/// `application/x-protobuf` or `application/json`, also compressed with gzip.
/// Spans that cannot be used are counted in `partial_success`; the others stay.
#[utoipa::path(post, path = "/v1/traces", tag = "ingest",
    request_body(content((Vec<u8> = "application/x-protobuf"), (Object = "application/json")),
        description = "ExportTraceServiceRequest"),
    responses(
        (status = 200, description = "ExportTraceServiceResponse, in the request's encoding"),
        (status = 400, description = "google.rpc.Status, in the request's encoding"),
        (status = 413, description = "google.rpc.Status, in the request's encoding"),
        (status = 415, body = Problem),
        (status = 503, description = "google.rpc.Status; repeat after `Retry-After` seconds",
            headers(("Retry-After" = u32))),
    ))]
pub async fn traces(State(api): State<Api>, headers: HeaderMap, body: Result<Bytes, Problem>) -> Response {
    let take = async |encoding: Encoding| {
        let decoded = otlp::decode_traces(&body?.0, encoding).map_err(unreadable)?;
        api.app.ingest.spans(decoded.records, Vec::new()).await?;
        told(&decoded.rejected);
        Ok(otlp::answer_traces(&decoded.rejected, encoding))
    };
    answer(&headers, take).await
}

/// Receive logs (OTLP): GenAI events
///
/// Events that belong to spans are joined with them, in whichever order they
/// come; all other log records are left out.
#[utoipa::path(post, path = "/v1/logs", tag = "ingest",
    request_body(content((Vec<u8> = "application/x-protobuf"), (Object = "application/json")),
        description = "ExportLogsServiceRequest"),
    responses(
        (status = 200, description = "ExportLogsServiceResponse, in the request's encoding"),
        (status = 400, description = "google.rpc.Status, in the request's encoding"),
        (status = 413, description = "google.rpc.Status, in the request's encoding"),
        (status = 415, body = Problem),
        (status = 503, description = "google.rpc.Status; repeat after `Retry-After` seconds",
            headers(("Retry-After" = u32))),
    ))]
pub async fn logs(State(api): State<Api>, headers: HeaderMap, body: Result<Bytes, Problem>) -> Response {
    let take = async |encoding: Encoding| {
        let decoded = otlp::decode_logs(&body?.0, encoding).map_err(unreadable)?;
        api.app.ingest.spans(Vec::new(), decoded.records).await?;
        told(&decoded.rejected);
        Ok(otlp::answer_logs(&decoded.rejected, encoding))
    };
    answer(&headers, take).await
}

fn unreadable(error: otlp::DecodeError) -> Problem {
    Problem::bad_request(error.to_string())
}

fn told(rejected: &[(usize, Rejected)]) {
    if let Some((_, first)) = rejected.first() {
        tracing::info!(rejected = rejected.len(), example = %first, "telemetry was rejected in part");
    }
}

/// Answers in the request's encoding. The protocol wants errors in it too.
async fn answer<F: Future<Output = Result<Vec<u8>, Problem>>>(
    headers: &HeaderMap,
    take: impl FnOnce(Encoding) -> F,
) -> Response {
    let encoding = match encoding(headers) {
        Ok(encoding) => encoding,
        Err(problem) => return problem.into_response(),
    };
    let kind = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = match take(encoding).await {
        Ok(body) => body.into_response(),
        Err(problem) => {
            let body = otlp::answer_error(&problem.detail, encoding);
            let mut response = problem.into_response();
            *response.body_mut() = body.into();
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response
        }
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = sent.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-protobuf") {
        Ok(Encoding::Protobuf)
    } else if kind.eq_ignore_ascii_case("application/json") {
        Ok(Encoding::Json)
    } else {
        let detail =
            format!("the content type is `{kind}`; it is `application/x-protobuf` or `application/json`");
        Err(Problem::from_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Full => Self::busy(error.to_string()),
            IngestError::Store(error) => Self::from(&*error),
        }
    }
}
