//! The client: asks, learns how to ask, waits and asks again.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::{Client, Url};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::attempt::{self, Again, Attempt, Fault};
use super::client::client_builder;
use super::errors::{Failure, TargetError};
use super::keys::Key;
use super::request::{self, Dialect, Question};
use super::retry::Backoff;
use super::stream::cause;
use crate::domain::interaction::{Answer, Timing, ToolCall, Usage};
use crate::domain::target::Target;

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

impl fmt::Debug for TargetClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetClient").field("target", &self.target).finish_non_exhaustive()
    }
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
            let asked = match fault.again {
                Again::Wait(asked) if retries < self.target.retries => asked,
                _ => return Err(error(fault, attempts, key.as_ref())),
            };
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
        attempt::send(request, &self.target, &*self.now_us).await
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
    match (fault.again, fault.failure.presentable(clean)) {
        (Again::Stop, Failure::Status { status, message }) => TargetError::Refused { status, message },
        (_, failure) => {
            let partial = (!fault.partial.is_empty()).then(|| clean(&fault.partial));
            TargetError::Product { failure, attempts, partial }
        }
    }
}

fn http_client(target: &Target, url: &Url) -> Result<Client, TargetError> {
    client_builder(url)
        .default_headers(target.header_map()?)
        .pool_max_idle_per_host(target.concurrency)
        .build()
        .map_err(|error| TargetError::Setup(cause(&error)))
}

fn system_now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
