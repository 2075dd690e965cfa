//! A target: the product's model endpoint that an evaluation asks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// How to ask. It names where a key is and never holds one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// Most questions under way at a time, those that wait for a retry included.
    #[serde(default = "eight")]
    pub concurrency: usize,
    /// How long one attempt may take, from sending the request to the last
    /// byte, in milliseconds.
    #[serde(default = "two_minutes_ms")]
    pub timeout_ms: u64,
    /// How long the first byte of the response's body may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_timeout_ms: Option<u64>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// `POST {base_url}/chat/completions`.
    OpenaiChat,
}

/// Where a key is read from, each time it is used: `{"env": "NAME"}` or
/// `{"file": "path"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeySource {
    /// An environment variable of the host.
    Env(String),
    /// A file that the host can read; blanks around the key are left out.
    #[schema(value_type = String)]
    File(PathBuf),
}

/// Written out because the derived errors quote what they read, and that may
/// be the key itself, put where its source should stand.
impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let refused = || D::Error::custom(r#"expected {"env": NAME} or {"file": PATH}"#);
        let Value::Object(fields) = Value::deserialize(deserializer)? else { return Err(refused()) };
        let mut fields = fields.into_iter();
        match (fields.next(), fields.next()) {
            (Some((kind, Value::String(text))), None) if kind == "env" => Ok(Self::Env(text)),
            (Some((kind, Value::String(text))), None) if kind == "file" => Ok(Self::File(text.into())),
            _ => Err(refused()),
        }
    }
}

fn yes() -> bool {
    true
}

fn eight() -> usize {
    8
}

fn four() -> u32 {
    4
}

fn two_minutes_ms() -> u64 {
    120_000
}
