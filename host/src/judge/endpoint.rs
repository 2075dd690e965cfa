//! One profile's endpoint: asks, waits its turn, asks again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::pace::Pace;
use super::wire::{self, Dialect};
use crate::config::{JudgeApi, Profile};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::interaction::{Message, Usage};
use crate::domain::judge::JudgeRequest;
use crate::targets::{
    Backoff, Completion, Failure, Fault, Key, KeyError, cause, client_builder, endpoint, fetch,
};

/// Version of Anthropic's interface that requests are written for.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Bytes of a request that are guessed to be one token, before it is sent: most
/// texts have more in a token, so the guess is rather too high.
const BYTES_A_TOKEN: usize = 3;

/// One profile, ready to be asked.
pub struct Endpoint {
    pub name: String,
    pub profile: Profile,
    pub url: Url,
    http: Client,
    permits: Arc<Semaphore>,
    requests: Pace,
    tokens: Pace,
    backoff: Backoff,
    rng: Mutex<StdRng>,
    clock: Arc<dyn Clock>,
    completion_limit: AtomicBool,
    no_temperature: AtomicBool,
}

/// One call, with all its attempts.
pub struct Exchange {
    pub reply: Result<Completion, NoReply>,
    pub attempts: u32,
    pub asked_at: Timestamp,
    /// From the first attempt to the end of the last.
    pub latency_us: u64,
}

/// Why a judge gave no reply. The texts hold no key.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("{failure} (after {attempts} attempts)")]
    Failed { failure: Failure, attempts: u32 },
}

impl Exchange {
    /// What it cost; none where there is no reply, no price or no count.
    pub fn cost(&self, endpoint: &Endpoint) -> Option<f64> {
        let price = endpoint.profile.price?;
        let Usage { input, output, cached_input, .. } = self.reply.as_ref().ok()?.usage;
        let (input, output) = (input?, output?);
        let cached = cached_input.unwrap_or_default().min(input);
        let cached_price = price.cached_input_per_million.unwrap_or(price.input_per_million);
        let millionths = (input - cached) as f64 * price.input_per_million
            + cached as f64 * cached_price
            + output as f64 * price.output_per_million;
        Some(millionths / 1e6)
    }
}

impl Endpoint {
    pub fn new(name: &str, profile: &Profile, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let url = url(profile)?;
        let http = client_builder(&url)
            .pool_max_idle_per_host(profile.concurrency)
            .build()
            .map_err(|error| cause(&error))?;
        Ok(Self {
            name: name.to_owned(),
            http,
            url,
            permits: Arc::new(Semaphore::new(profile.concurrency)),
            requests: Pace::new(profile.requests_per_minute),
            tokens: Pace::new(profile.tokens_per_minute),
            backoff: Backoff::default(),
            rng: Mutex::new(StdRng::seed_from_u64(rand::random())),
            clock,
            completion_limit: AtomicBool::new(false),
            no_temperature: AtomicBool::new(false),
            profile: profile.clone(),
        })
    }

    /// What is sent for a request.
    pub fn body(&self, request: &JudgeRequest, messages: &[Message]) -> Result<String, String> {
        wire::body(&self.profile, request, messages)
    }

    /// What a call can cost at most: all input at full price, and as much
    /// output as it may have.
    pub fn cost_at_most(&self, request: &JudgeRequest, body: &str) -> f64 {
        let Some(price) = self.profile.price else { return 0.0 };
        let output = request.output_tokens_max.unwrap_or(u32::MAX).min(self.profile.output_tokens_max);
        let input = body.len().div_ceil(BYTES_A_TOKEN);
        (input as f64 * price.input_per_million + f64::from(output) * price.output_per_million) / 1e6
    }

    /// Waits for a place among the calls under way, and for the minute's limits.
    pub async fn turn(&self, body: &str) -> OwnedSemaphorePermit {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        self.requests.wait(1).await;
        let tokens = body.len().div_ceil(BYTES_A_TOKEN);
        self.tokens.wait(u32::try_from(tokens).unwrap_or(u32::MAX)).await;
        permit
    }

    /// Asks, again where that may help.
    pub async fn ask(&self, body: &str) -> Exchange {
        let asked_at = self.clock.now();
        let started = Instant::now();
        let mut attempts = 0;
        let reply = self.until_it_replies(body, &mut attempts).await;
        let latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Exchange { reply, attempts, asked_at, latency_us }
    }

    async fn until_it_replies(&self, body: &str, attempts: &mut u32) -> Result<Completion, NoReply> {
        let key = match &self.profile.key {
            Some(source) => Some(source.read().await?),
            None => None,
        };
        let mut retries = 0;
        loop {
            *attempts += 1;
            let dialect = self.dialect();
            let fault = match self.attempt(body, dialect, key.as_ref()).await {
                Ok(completion) => return Ok(completion),
                Err(fault) => fault,
            };
            if let Some(learnt) = dialect.after_refusal(&fault.failure) {
                self.completion_limit.fetch_or(learnt.completion_limit, Ordering::Relaxed);
                self.no_temperature.fetch_or(learnt.no_temperature, Ordering::Relaxed);
                continue;
            }
            match wire::again(&fault) {
                Some(asked) if retries < self.profile.retries => {
                    let wait = self.wait(retries, asked);
                    retries += 1;
                    tracing::debug!(
                        profile = self.name,
                        retries,
                        wait_ms = wait.as_millis() as u64,
                        "a judge is asked again"
                    );
                    tokio::time::sleep(wait).await;
                }
                _ => {
                    let clean =
                        |text: &str| key.as_ref().map_or_else(|| text.to_owned(), |key| key.redact(text));
                    let failure = fault.failure.presentable(clean);
                    return Err(NoReply::Failed { failure, attempts: *attempts });
                }
            }
        }
    }

    fn dialect(&self) -> Dialect {
        Dialect {
            completion_limit: self.completion_limit.load(Ordering::Relaxed),
            no_temperature: self.no_temperature.load(Ordering::Relaxed),
        }
    }

    fn wait(&self, retry: u32, asked: Option<Duration>) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        self.backoff.wait(retry, asked, &mut *rng)
    }

    async fn attempt(&self, body: &str, dialect: Dialect, key: Option<&Key>) -> Result<Completion, Fault> {
        let mut request = self
            .http
            .post(self.url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(wire::in_dialect(body, dialect));
        request = match (self.profile.api, key) {
            (JudgeApi::OpenaiChat, Some(key)) => request.header(AUTHORIZATION, key.header()),
            (JudgeApi::AnthropicMessages, Some(key)) => request.header("x-api-key", key.plain_header()),
            (_, None) => request,
        };
        if self.profile.api == JudgeApi::AnthropicMessages {
            request = request.header("anthropic-version", ANTHROPIC_VERSION);
        }
        let now_us = || self.clock.now().0;
        let response = fetch(request, self.profile.timeout_ms, &now_us).await?;
        wire::read(self.profile.api, &response)
    }
}

/// Where requests go.
fn url(profile: &Profile) -> Result<Url, String> {
    let path = match profile.api {
        JudgeApi::OpenaiChat => "/chat/completions",
        JudgeApi::AnthropicMessages => "/v1/messages",
    };
    endpoint(&profile.base_url, path).map_err(|reason| format!("`base_url` {reason}"))
}
