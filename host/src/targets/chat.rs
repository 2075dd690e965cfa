//! The client: asks, waits, asks again, and measures.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::assembly::{Assembly, Brought, Piece, Reported, error_text};
use super::config::Target;
use super::errors::{Failure, TargetError, TimeLimit};
use super::keys::Key;
use super::request::{self, Dialect, Question};
use super::retry::{self, Backoff};
use super::stream::{ReadError, cause, events, limited};
use crate::domain::interaction::{Answer, Timing, ToolCall, Usage};

/// Most bytes of a response's body.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes that are read of an error's body.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Limit of connecting, within the limit of the attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for the usage after the finish reason has come.
const USAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the product answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    /// Text of the answer.
    pub actual: String,
    /// Tools that the answer asks for.
    pub tool_calls: Vec<ToolCall>,
    /// Of the attempt that succeeded, connecting included and waits excluded. A
    /// stream's total is until its last token.
    pub timing: Timing,
    /// Tokens as the endpoint counted them.
    pub usage: Usage,
    /// The model as the response named it.
    pub model: Option<String>,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// Requests sent, the one that succeeded included.
    pub attempts: u32,
}

impl From<Answered> for Answer {
    fn from(answered: Answered) -> Self {
        Self {
            actual: answered.actual,
            tool_calls: answered.tool_calls,
            timing: answered.timing,
            usage: answered.usage,
            model: answered.model,
            finish_reason: answered.finish_reason,
            ..Self::default()
        }
    }
}

/// Asks one target. Share it: the bound on concurrency is the client's own.
pub struct TargetClient {
    target: Target,
    url: Url,
    http: Client,
    permits: Semaphore,
    backoff: Backoff,
    rng: Mutex<StdRng>,
    now_us: Box<dyn Fn() -> i64 + Send + Sync>,
    /// The endpoint has refused `stream_options`.
    no_stream_options: AtomicBool,
    /// The endpoint has asked for `max_completion_tokens`.
    completion_limit: AtomicBool,
}

/// One attempt that brought no answer.
struct Fault {
    failure: Failure,
    partial: String,
    again: Again,
}

/// Whether the same request may succeed in a moment.
enum Again {
    No,
    Wait(Option<Duration>),
}

/// What one attempt brought.
struct Attempt {
    assembly: Assembly,
    timing: Timing,
}

/// The limits of one attempt.
struct Watch {
    started: Instant,
    timeout_ms: u64,
    first_byte_timeout_ms: Option<u64>,
}

impl TargetClient {
    /// Checks the target and prepares a client, without asking anything yet.
    pub fn new(target: &Target) -> Result<Self, TargetError> {
        target.validate()?;
        let url = target.url()?;
        Ok(Self {
            http: http_client(target, &url)?,
            url,
            permits: Semaphore::new(target.concurrency),
            backoff: Backoff::default(),
            rng: Mutex::new(StdRng::seed_from_u64(rand::random())),
            now_us: Box::new(system_now_us),
            no_stream_options: AtomicBool::new(false),
            completion_limit: AtomicBool::new(false),
            target: target.clone(),
        })
    }

    /// Takes the time, in microseconds UTC, from `now_us`.
    #[must_use]
    pub fn with_clock(self, now_us: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { now_us: Box::new(now_us), ..self }
    }

    /// Makes the waits between attempts repeatable.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { rng: Mutex::new(StdRng::seed_from_u64(seed)), ..self }
    }

    /// Replaces the waits between attempts.
    #[must_use]
    pub fn with_backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Asks one question, again where that may help. Dropping the future closes
    /// the connection.
    pub async fn answer<'q>(&self, question: impl Into<Question<'q>>) -> Result<Answered, TargetError> {
        let messages = request::messages(self.target.system.as_deref(), question.into())?;
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let key = match &self.target.key {
            Some(source) => Some(source.read().await?),
            None => None,
        };
        let mut attempts = 0;
        let mut retries = 0;
        loop {
            attempts += 1;
            let dialect = self.dialect();
            let fault = match self.attempt(&messages, dialect, key.as_ref()).await {
                Ok(attempt) => return Ok(answered(attempt, attempts, key.as_ref())),
                Err(fault) => fault,
            };
            if self.learn(dialect, &fault.failure) {
                continue;
            }
            let Again::Wait(asked) = fault.again else {
                return Err(error(fault, attempts, key.as_ref()));
            };
            if retries == self.target.retries {
                return Err(error(fault, attempts, key.as_ref()));
            }
            let wait = self.wait(retries, asked);
            retries += 1;
            tracing::debug!(attempts, wait_ms = wait.as_millis() as u64, "the target is asked again");
            sleep(wait).await;
        }
    }

    fn dialect(&self) -> Dialect {
        Dialect {
            stream_options: !self.no_stream_options.load(Ordering::Relaxed),
            completion_limit: self.completion_limit.load(Ordering::Relaxed),
        }
    }

    /// Whether the refusal tells how to ask instead; all later questions are
    /// then asked that way.
    fn learn(&self, used: Dialect, failure: &Failure) -> bool {
        let Failure::Status { status, message } = failure else { return false };
        let Some(learnt) = used.after_refusal(&self.target, *status, message) else { return false };
        if !learnt.stream_options {
            self.no_stream_options.store(true, Ordering::Relaxed);
        }
        if learnt.completion_limit {
            self.completion_limit.store(true, Ordering::Relaxed);
        }
        tracing::debug!(status, "the target refuses a parameter and is asked without it");
        true
    }

    fn wait(&self, retry: u32, asked: Option<Duration>) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.backoff.wait(retry, asked, &mut *rng)
    }

    async fn attempt(
        &self,
        messages: &[Value],
        dialect: Dialect,
        key: Option<&Key>,
    ) -> Result<Attempt, Fault> {
        let mut request = self.http.post(self.url.clone());
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, key.header());
        }
        let accept =
            if self.target.stream { "text/event-stream, application/json" } else { "application/json" };
        let request = request.header(ACCEPT, accept).json(&request::body(&self.target, messages, dialect));
        let started_at_us = (self.now_us)();
        let watch = Watch {
            started: Instant::now(),
            timeout_ms: self.target.timeout_ms,
            first_byte_timeout_ms: self.target.first_byte_timeout_ms,
        };
        let response = watch.until_first_byte(request.send()).await?.map_err(|error| Fault {
            again: if error.is_builder() { Again::No } else { Again::Wait(None) },
            failure: Failure::Unreachable(cause(&error)),
            partial: String::new(),
        })?;
        if !response.status().is_success() {
            return Err(self.refused(response, &watch).await);
        }
        let streams = is_event_stream(response.headers());
        let mut chunks = Box::pin(limited(response.bytes_stream(), BODY_BYTES_MAX));
        let first = watch.until_first_byte(chunks.next()).await?;
        let chunks = stream::iter(first).chain(chunks);
        let (assembly, timing) =
            if streams { streamed(chunks, &watch).await? } else { whole(chunks, &watch).await? };
        Ok(Attempt { assembly, timing: Timing { started_at_us: Some(started_at_us), ..timing } })
    }

    async fn refused(&self, response: Response, watch: &Watch) -> Fault {
        let status = response.status().as_u16();
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|value| retry::retry_after(value, (self.now_us)()));
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
        // Without money there is no use in waiting, whatever the status says.
        let spent = status == 429 && body.windows(18).any(|part| part == b"insufficient_quota");
        Fault {
            failure: Failure::Status { status: if spent { 402 } else { status }, message: error_text(&body) },
            partial: String::new(),
            again: if retry::is_passing(status) && !spent { Again::Wait(asked) } else { Again::No },
        }
    }
}

async fn whole(
    chunks: impl Stream<Item = Result<Bytes, ReadError>>,
    watch: &Watch,
) -> Result<(Assembly, Timing), Fault> {
    let mut chunks = Box::pin(chunks);
    let mut body = Vec::new();
    while let Some(chunk) = watch.until_end(chunks.next()).await? {
        let chunk = chunk.map_err(|error| Fault {
            again: if matches!(error, ReadError::Transport(_)) { Again::Wait(None) } else { Again::No },
            failure: error.into(),
            partial: String::new(),
        })?;
        body.extend_from_slice(&chunk);
    }
    let total_us = watch.elapsed_us();
    let mut assembly = Assembly::default();
    if let Piece::Error(reported) = assembly.take(&body).map_err(Fault::last)? {
        return Err(Fault::reported(reported));
    }
    let timing = Timing { total_us: Some(total_us), streamed: Some(false), ..Timing::default() };
    Ok((assembly.complete().map_err(Fault::last)?, timing))
}

async fn streamed(
    chunks: impl Stream<Item = Result<Bytes, ReadError>> + Send + 'static,
    watch: &Watch,
) -> Result<(Assembly, Timing), Fault> {
    let mut events = events(chunks);
    let mut assembly = Assembly::default();
    let mut first_token_us = None;
    let mut total_us = None;
    let mut end = watch.end();
    loop {
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
                if assembly.finish_reason.is_some() && end == watch.end() {
                    total_us = Some(now_us);
                    end = end.min(Instant::now() + USAGE_TIMEOUT);
                }
                continue;
            }
            Ok(Piece::Error(reported)) => Fault::reported(reported),
            Err(failure) => Fault::last(failure),
        };
        // The answer is whole once there is a finish reason; what breaks after
        // it takes at most the usage away.
        if assembly.finish_reason.is_some() {
            break;
        }
        return Err(fault.with_partial(assembly.text, first_token_us.is_some()));
    }
    let timing = Timing {
        total_us: Some(total_us.unwrap_or_else(|| watch.elapsed_us())),
        first_token_us,
        streamed: Some(true),
        started_at_us: None,
    };
    Ok((assembly.complete().map_err(Fault::last)?, timing))
}

impl Fault {
    /// A failure that would come again.
    fn last(failure: Failure) -> Self {
        Self { failure, partial: String::new(), again: Again::No }
    }

    fn reported(reported: Reported) -> Self {
        let again = if reported.status.is_none_or(retry::is_passing) { Again::Wait(None) } else { Again::No };
        Self { failure: Failure::Reported(reported.message), partial: String::new(), again }
    }

    /// Once a part of the answer has come, it is not asked for again: whoever
    /// used the product would have seen it break.
    fn with_partial(self, partial: String, begun: bool) -> Self {
        let passing = matches!(
            self.failure,
            Failure::EndedEarly | Failure::BrokeOff(_) | Failure::TimedOut { .. } | Failure::Reported(_)
        );
        let again = match self.again {
            _ if begun || !passing => Again::No,
            Again::No if matches!(self.failure, Failure::Reported(_)) => Again::No,
            _ => Again::Wait(None),
        };
        Self { partial, again, ..self }
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
        timeout_at(at, future).await.map_err(|_| Fault {
            failure: self.timed_out(what),
            partial: String::new(),
            again: Again::Wait(None),
        })
    }
}

fn answered(attempt: Attempt, attempts: u32, key: Option<&Key>) -> Answered {
    let Attempt { mut assembly, timing } = attempt;
    if let Some(key) = key {
        let calls = assembly.tool_calls.iter_mut();
        let texts =
            calls.flat_map(|call| [Some(&mut call.arguments), Some(&mut call.name), call.id.as_mut()]);
        let named = [Some(&mut assembly.text), assembly.model.as_mut(), assembly.finish_reason.as_mut()];
        texts.chain(named).flatten().for_each(|text| key.redact_answer(text));
    }
    Answered {
        actual: assembly.text,
        tool_calls: assembly.tool_calls,
        timing,
        usage: assembly.usage,
        model: assembly.model,
        finish_reason: assembly.finish_reason,
        attempts,
    }
}

/// The one place where a failure leaves the client, and so where keys are taken
/// out of what the endpoint said.
fn error(fault: Fault, attempts: u32, key: Option<&Key>) -> TargetError {
    let clean = |text: &str| key.map_or_else(|| text.to_owned(), |key| key.redact(text));
    match fault.failure.presentable(clean) {
        Failure::Status { status: status @ (300..=399 | 401..=405), message } => {
            TargetError::Refused { status, message }
        }
        failure => {
            let partial = (!fault.partial.is_empty()).then(|| clean(&fault.partial));
            TargetError::Product { failure, attempts, partial }
        }
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

/// Redirects are not followed: they would carry the key and the conversation
/// to a place that nobody wrote down.
fn http_client(target: &Target, url: &Url) -> Result<Client, TargetError> {
    static PROVIDER: Once = Once::new();
    // An error means that the process has a provider already, which is as good.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let builder = Client::builder()
        .user_agent(concat!("assay/", env!("CARGO_PKG_VERSION")))
        .default_headers(target.header_map()?)
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(target.concurrency);
    // Without TLS the system's certificates are not needed, and may be missing.
    let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
    builder.build().map_err(|error| TargetError::Setup(cause(&error)))
}

fn system_now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
