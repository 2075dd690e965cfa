//! A running daemon, asked over its API.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ingest::Rejected;
use crate::targets::{Backoff, cause, client_builder, is_passing, retry_after};

/// One request takes no longer.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Attempts that one batch is worth: with their waits some three minutes.
const ATTEMPTS_MAX: u32 = 12;

/// Why a daemon did not take it.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The address is none.
    #[error("`{url}` is no address of a daemon: {reason}")]
    Url {
        /// Which.
        url: String,
        /// Why not.
        reason: String,
    },
    /// It cannot be reached.
    #[error("failed to reach the daemon at `{url}`: {reason}")]
    Unreachable {
        /// Where.
        url: Url,
        /// What the last attempt said.
        reason: String,
    },
    /// It refuses.
    #[error("the daemon at `{url}` refused with {status}: {detail}")]
    Refused {
        /// Where.
        url: Url,
        /// HTTP status.
        status: StatusCode,
        /// In its words.
        detail: String,
    },
    /// What it says makes no sense.
    #[error("`{url}` does not answer as a daemon does: {reason}")]
    Answer {
        /// Where.
        url: Url,
        /// Why not.
        reason: String,
    },
}

/// What became of lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Received {
    /// New ones.
    pub accepted: u64,
    /// Those that were there before.
    pub duplicates: u64,
    /// Those that cannot be used, by line of the body.
    pub rejected: Vec<Rejected>,
}

/// A problem document, as far as it is told.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
    errors: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    path: String,
    message: String,
}

/// A running daemon.
pub struct DaemonClient {
    client: Client,
    base: Url,
    token: Option<String>,
    backoff: Backoff,
}

impl DaemonClient {
    /// Prepares to ask; nothing is sent yet.
    pub fn new(url: &str, token: Option<String>) -> Result<Self, DaemonError> {
        let wrong = |reason: String| DaemonError::Url { url: url.to_owned(), reason };
        // A path of a reverse proxy stays before the API's own.
        let base = Url::parse(&format!("{}/", url.trim_end_matches('/')))
            .map_err(|error| wrong(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(wrong("it begins with `http://` or `https://`".into()));
        }
        let client = client_builder(&base).timeout(TIMEOUT).build().map_err(|error| wrong(cause(&error)))?;
        Ok(Self { client, base, token, backoff: Backoff::default() })
    }

    /// Asks a path of the API, once. What is no body of an answer reads as null.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&serde_json::Value>,
    ) -> Result<T, DaemonError> {
        let mut url = self.base.join(path).expect("paths of the API are relative URLs");
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.client.request(method, url.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request
            .send()
            .await
            .map_err(|error| DaemonError::Unreachable { url: url.clone(), reason: cause(&error) })?;
        if !response.status().is_success() {
            return Err(self.refused(&url, response).await);
        }
        let answer = |reason: String| DaemonError::Answer { url: url.clone(), reason };
        let text = response.text().await.map_err(|error| answer(cause(&error)))?;
        let text = if text.is_empty() { "null" } else { &text };
        serde_json::from_str(text).map_err(|error| answer(error.to_string()))
    }

    /// Sends JSON lines to a path of the API. A daemon that is busy or not
    /// there for a moment is asked again: lines carry ids, and count once.
    pub async fn send_lines(&self, path: &str, lines: Bytes) -> Result<Received, DaemonError> {
        let url = self.base.join(path).expect("paths of the API are relative URLs");
        let mut random = StdRng::from_rng(&mut rand::rng());
        let mut attempt = 0;
        loop {
            let mut request = self
                .client
                .post(url.clone())
                .header(CONTENT_TYPE, "application/x-ndjson")
                .body(lines.clone());
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            let sent = request.send().await;
            attempt += 1;
            let (failure, asked) = match sent {
                Ok(response) if is_passing(response.status().as_u16()) => {
                    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                    let asked = asked.and_then(|value| retry_after(value, now_us()));
                    (self.refused(&url, response).await, asked)
                }
                Ok(response) if response.status() == StatusCode::UNPROCESSABLE_ENTITY => {
                    return self.none_usable(&url, response).await;
                }
                Ok(response) if response.status().is_success() => {
                    let answer = |error: reqwest::Error| DaemonError::Answer {
                        url: url.clone(),
                        reason: cause(&error),
                    };
                    return response.json().await.map_err(answer);
                }
                Ok(response) => return Err(self.refused(&url, response).await),
                Err(error) => {
                    let reason = if error.is_timeout() { "it takes too long".into() } else { cause(&error) };
                    (DaemonError::Unreachable { url: url.clone(), reason }, None)
                }
            };
            if attempt == ATTEMPTS_MAX {
                return Err(failure);
            }
            let wait = self.backoff.wait(attempt - 1, asked, &mut random);
            tracing::debug!(error = %failure, ?wait, "the daemon is asked again");
            tokio::time::sleep(wait).await;
        }
    }

    /// A body of which no line can be used is refused as a whole, with the
    /// reason for each line.
    async fn none_usable(&self, url: &Url, response: reqwest::Response) -> Result<Received, DaemonError> {
        let status = response.status();
        let problem: Problem = response.json().await.unwrap_or_default();
        let rejected: Option<Vec<_>> = problem
            .errors
            .into_iter()
            .map(|place| {
                let line = place.path.strip_prefix("line ")?.parse().ok()?;
                Some(Rejected { line, reason: place.message })
            })
            .collect();
        match rejected {
            Some(rejected) if !rejected.is_empty() => Ok(Received { rejected, ..Received::default() }),
            _ => Err(DaemonError::Refused { url: url.clone(), status, detail: problem.detail }),
        }
    }

    async fn refused(&self, url: &Url, response: reqwest::Response) -> DaemonError {
        let status = response.status();
        let problem: Problem = response.json().await.unwrap_or_default();
        DaemonError::Refused { url: url.clone(), status, detail: problem.detail }
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
