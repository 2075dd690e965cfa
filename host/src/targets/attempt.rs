//! One attempt: sends a request, reads what comes within its limits, and
//! measures. It knows neither keys nor retries; it says whether one may help.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, Response};
use tokio::time::{Instant, timeout_at};

use super::assembly::{Assembly, Brought, Piece, Reported, error_text};
use super::errors::{Failure, TimeLimit};
use super::retry;
use super::stream::{ReadError, cause, events, limited};
use crate::domain::interaction::Timing;
use crate::domain::target::Target;

/// Most bytes of a response's body.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes that are read of an error's body.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// What OpenAI says with a 429 that no waiting helps: the account has no money.
const SPENT: &[u8] = b"insufficient_quota";
/// How long to wait for the usage after the finish reason has come.
const USAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// One attempt that brought no answer.
#[derive(Debug)]
pub struct Fault {
    /// How it failed.
    pub failure: Failure,
    /// What had come of the answer.
    pub partial: String,
    /// Whether another attempt may help.
    pub again: Again,
}

/// What to do after an attempt that brought no answer.
#[derive(Debug)]
pub enum Again {
    /// Ask again, after what the endpoint asked for at least.
    Wait(Option<Duration>),
    /// Give this question up.
    No,
    /// Give all questions up.
    Stop,
}

/// What one attempt brought.
pub(super) struct Attempt {
    pub(super) assembly: Assembly,
    pub(super) timing: Timing,
}

/// The limits of one attempt.
struct Watch {
    started: Instant,
    timeout_ms: u64,
    first_byte_timeout_ms: Option<u64>,
}

/// Sends one request whose response is one body, and reads it.
pub async fn fetch(
    request: RequestBuilder,
    timeout_ms: u64,
    now_us: &(dyn Fn() -> i64 + Send + Sync),
) -> Result<Vec<u8>, Fault> {
    let watch = Watch { started: Instant::now(), timeout_ms, first_byte_timeout_ms: None };
    let response =
        watch.until_end(request.send()).await?.map_err(|error| Failure::Unreachable(cause(&error)))?;
    if !response.status().is_success() {
        return Err(refused(response, &watch, now_us).await);
    }
    body(Box::pin(limited(response.bytes_stream(), BODY_BYTES_MAX)), &watch).await
}

/// Sends one request and reads its response to the end.
pub(super) async fn send(
    request: RequestBuilder,
    target: &Target,
    now_us: &(dyn Fn() -> i64 + Send + Sync),
) -> Result<Attempt, Fault> {
    let started_at_us = now_us();
    let watch = Watch {
        started: Instant::now(),
        timeout_ms: target.timeout_ms,
        first_byte_timeout_ms: target.first_byte_timeout_ms,
    };
    let response =
        watch.until_first_byte(request.send()).await?.map_err(|error| Failure::Unreachable(cause(&error)))?;
    if !response.status().is_success() {
        return Err(refused(response, &watch, now_us).await);
    }
    let streams = is_event_stream(response.headers());
    let mut chunks = Box::pin(limited(response.bytes_stream(), BODY_BYTES_MAX));
    let first = watch.until_first_byte(chunks.next()).await?;
    let chunks = stream::iter(first).chain(chunks);
    let (assembly, timing) =
        if streams { streamed(chunks, &watch).await? } else { whole(chunks, &watch).await? };
    Ok(Attempt { assembly, timing: Timing { started_at_us: Some(started_at_us), ..timing } })
}

/// Reads an error's status, wait and message.
async fn refused(response: Response, watch: &Watch, now_us: &(dyn Fn() -> i64 + Send + Sync)) -> Fault {
    let status = response.status().as_u16();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let asked = asked.and_then(|value| retry::retry_after(value, now_us()));
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    // What can be read of the message is enough: the status says the rest.
    while let Ok(Some(Ok(chunk))) = timeout_at(watch.end(), chunks.next()).await {
        body.extend_from_slice(&chunk);
        if body.len() >= ERROR_BYTES_MAX {
            body.truncate(ERROR_BYTES_MAX);
            break;
        }
    }
    let mut message = error_text(&body);
    let spent = status == 429 && body.windows(SPENT.len()).any(|part| part == SPENT);
    let again = match status {
        300..=399 => {
            message = "redirects are not followed".into();
            Again::Stop
        }
        401..=405 => Again::Stop,
        _ if spent => Again::Stop,
        _ if retry::is_passing(status) => Again::Wait(asked),
        _ => Again::No,
    };
    Fault { failure: Failure::Status { status, message }, partial: String::new(), again }
}

async fn body(
    mut chunks: impl Stream<Item = Result<Bytes, ReadError>> + Unpin,
    watch: &Watch,
) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(chunk) = watch.until_end(chunks.next()).await? {
        body.extend_from_slice(&chunk.map_err(Failure::from)?);
    }
    Ok(body)
}

async fn whole(
    chunks: impl Stream<Item = Result<Bytes, ReadError>>,
    watch: &Watch,
) -> Result<(Assembly, Timing), Fault> {
    let body = body(Box::pin(chunks), watch).await?;
    let total_us = watch.elapsed_us();
    let mut assembly = Assembly::default();
    if let Piece::Error(reported) = assembly.take(&body)? {
        return Err(Fault::reported(reported));
    }
    let timing = Timing { total_us: Some(total_us), streamed: Some(false), ..Timing::default() };
    Ok((assembly.complete()?, timing))
}

async fn streamed(
    chunks: impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static,
    watch: &Watch,
) -> Result<(Assembly, Timing), Fault> {
    let mut events = events(chunks);
    let mut assembly = Assembly::default();
    let mut first_token_us = None;
    let mut total_us = None;
    let mut finished_at = None;
    loop {
        let end = finished_at.map_or(watch.end(), |at: Instant| watch.end().min(at + USAGE_TIMEOUT));
        let piece = match timeout_at(end, events.next()).await {
            Ok(Some(Ok(event))) if event.data.trim() == "[DONE]" => break,
            Ok(Some(Ok(event))) if event.name.as_deref() == Some("error") => {
                Ok(Piece::Error(Reported { message: error_text(event.data.as_bytes()), status: None }))
            }
            Ok(Some(Ok(event))) => assembly.take(event.data.as_bytes()),
            Ok(Some(Err(failure))) => Err(failure),
            Ok(None) => Err(Failure::EndedEarly),
            Err(_) => Err(watch.timed_out(TimeLimit::Whole)),
        };
        let fault = match piece {
            Ok(Piece::Part(brought)) => {
                let now_us = watch.elapsed_us();
                if brought == Brought::Token {
                    first_token_us.get_or_insert(now_us);
                    total_us = Some(now_us);
                }
                if finished_at.is_none() && assembly.finish_reason.is_some() {
                    finished_at = Some(Instant::now());
                    total_us = Some(now_us);
                }
                continue;
            }
            Ok(Piece::Error(reported)) => Fault::reported(reported),
            Err(failure) => Fault::from(failure),
        };
        // The answer is whole once there is a finish reason; what breaks after
        // it takes at most the usage away.
        if finished_at.is_some() {
            break;
        }
        // Once a part of the answer has come, it is not asked for again: whoever
        // used the product would have seen it break.
        let again = if first_token_us.is_some() { Again::No } else { fault.again };
        return Err(Fault { partial: assembly.text, again, ..fault });
    }
    let timing = Timing {
        total_us: Some(total_us.unwrap_or_else(|| watch.elapsed_us())),
        first_token_us,
        streamed: Some(true),
        started_at_us: None,
    };
    Ok((assembly.complete()?, timing))
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let again = match failure {
            Failure::Unreachable(_)
            | Failure::TimedOut { .. }
            | Failure::EndedEarly
            | Failure::BrokeOff(_) => Again::Wait(None),
            Failure::Status { .. }
            | Failure::Reported(_)
            | Failure::TooLarge { .. }
            | Failure::Malformed(_) => Again::No,
        };
        Self { failure, partial: String::new(), again }
    }
}

impl Fault {
    /// An error without a status is taken for a passing one.
    pub(super) fn reported(reported: Reported) -> Self {
        let passing = reported.status.is_none_or(retry::is_passing);
        let again = if passing { Again::Wait(None) } else { Again::No };
        Self { again, ..Failure::Reported(reported.message).into() }
    }
}

impl Watch {
    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn end(&self) -> Instant {
        self.started + Duration::from_millis(self.timeout_ms)
    }

    fn timed_out(&self, what: TimeLimit) -> Failure {
        let limit_ms = match what {
            TimeLimit::FirstByte => self.first_byte_timeout_ms.unwrap_or(self.timeout_ms),
            TimeLimit::Whole => self.timeout_ms,
        };
        Failure::TimedOut { what, limit_ms }
    }

    async fn until_first_byte<T>(&self, future: impl Future<Output = T>) -> Result<T, Fault> {
        let Some(limit_ms) = self.first_byte_timeout_ms else { return self.until_end(future).await };
        self.until(self.started + Duration::from_millis(limit_ms), TimeLimit::FirstByte, future).await
    }

    async fn until_end<T>(&self, future: impl Future<Output = T>) -> Result<T, Fault> {
        self.until(self.end(), TimeLimit::Whole, future).await
    }

    async fn until<T>(
        &self,
        at: Instant,
        what: TimeLimit,
        future: impl Future<Output = T>,
    ) -> Result<T, Fault> {
        timeout_at(at, future).await.map_err(|_| self.timed_out(what).into())
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}
