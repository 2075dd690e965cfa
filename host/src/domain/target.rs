//! A target: the product's model endpoint that an evaluation asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How to ask. It names where a key is and never holds one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Which protocol.
    pub kind: TargetKind,
    /// Base URL, such as `https://api.example.com/v1`.
    pub base_url: String,
    /// The model to ask for.
    pub model: String,
    /// System prompt in front of each item's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Sampling temperature; the endpoint's own where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The most tokens of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// Ask for a stream, which gives the time to first token.
    #[serde(default = "yes")]
    pub stream: bool,
    /// Requests at once.
    #[serde(default = "eight")]
    pub concurrency: u32,
    /// How long one attempt may take, in milliseconds.
    #[serde(default = "two_minutes_ms")]
    pub timeout_ms: u64,
    /// Attempts after the first.
    #[serde(default = "four")]
    pub retries: u32,
    /// Where the key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySource>,
    /// Further headers; no secrets, because they are stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// The protocol of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// `POST {base_url}/chat/completions`.
    OpenaiChat,
}

/// Where a key is read from, each time it is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySource {
    /// An environment variable.
    Env(String),
    /// A file.
    File(String),
}

fn yes() -> bool {
    true
}

fn eight() -> u32 {
    8
}

fn four() -> u32 {
    4
}

fn two_minutes_ms() -> u64 {
    120_000
}

impl Target {
    /// What is wrong: the field and the reason.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(self.base_url.starts_with("http://") || self.base_url.starts_with("https://")) {
            problems.push(("base_url", format!("`{}` is no http or https URL", self.base_url)));
        }
        if self.model.is_empty() {
            problems.push(("model", "the model is empty".into()));
        }
        if !(1..=256).contains(&self.concurrency) {
            problems.push(("concurrency", "1 to 256 requests at once".into()));
        }
        if !(1..=3_600_000).contains(&self.timeout_ms) {
            problems.push(("timeout_ms", "1 ms to one hour".into()));
        }
        if self.retries > 20 {
            problems.push(("retries", "at most 20 retries".into()));
        }
        let secret = |name: &&String| {
            let name = name.to_ascii_lowercase();
            name == "authorization" || name == "cookie" || name.contains("key") || name.contains("token")
        };
        if let Some(name) = self.headers.keys().find(secret) {
            problems.push(("headers", format!("`{name}` looks like a secret: use `key`, which is not stored")));
        }
        problems
    }
}
