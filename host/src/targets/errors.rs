//! What can go wrong, told apart by what the caller does about it.

use std::fmt;

use super::config::ConfigError;
use super::keys::KeyError;
use super::request::QuestionError;

/// Characters of an endpoint's message that are kept.
const MESSAGE_CHARS_MAX: usize = 500;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The target is described wrongly.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The HTTP client cannot be set up, for example without any root certificate.
    #[error("set up the http client: {0}")]
    Setup(String),
    /// The endpoint refuses to be asked at all: a wrong key, address or model,
    /// no money left, or a redirect, which is not followed.
    #[error("target refuses requests: status {status}{}", after_colon(message))]
    Refused {
        /// HTTP status.
        status: u16,
        /// What the endpoint said.
        message: String,
    },
    /// This one question cannot be put as a chat; others can.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The product failed. Belongs to the interaction's `error`.
    #[error("{failure}{}", attempts_of(*attempts))]
    Product {
        /// How it failed the last time.
        failure: Failure,
        /// Requests sent.
        attempts: u32,
        /// What had come of the answer, where a stream broke.
        partial: Option<String>,
    },
}

/// How the product failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It answered with an error status.
    #[error("endpoint answered with status {status}{}", after_colon(message))]
    Status {
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It reported an error in the body of a response that began well.
    #[error("endpoint reported an error{}", after_colon(.0))]
    Reported(String),
    /// No connection, or it broke before the response.
    #[error("endpoint is not reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("endpoint timed out: no {what} within {limit_ms} ms")]
    TimedOut {
        /// Which limit.
        what: TimeLimit,
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// The stream ended without `[DONE]` and without a finish reason.
    #[error("stream ended early")]
    EndedEarly,
    /// The connection broke within the response.
    #[error("response broke off: {0}")]
    BrokeOff(String),
    /// The response passes a limit.
    #[error("response has more than {bytes_max} bytes in {what}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// The response is not a chat completion.
    #[error("response is not a chat completion: {0}")]
    Malformed(String),
}

/// Which of a target's time limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeLimit {
    /// `first_byte_timeout_ms`.
    FirstByte,
    /// `timeout_ms`.
    Whole,
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstByte => "first byte",
            Self::Whole => "complete answer",
        })
    }
}

impl TargetError {
    /// Whether asking on makes no sense before somebody changes the target.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_) | Self::Key(_) | Self::Setup(_) | Self::Refused { .. } => true,
            Self::Question(_) | Self::Product { .. } => false,
        }
    }

    /// Whether the product failed: the task counts as not completed. An item
    /// that cannot be asked is neither this nor a configuration problem.
    pub fn is_product(&self) -> bool {
        matches!(self, Self::Product { .. })
    }

    /// What had come of the answer before it broke.
    pub fn partial(&self) -> Option<&str> {
        match self {
            Self::Product { partial, .. } => partial.as_deref(),
            _ => None,
        }
    }
}

impl Failure {
    /// Passes every text that came from outside through `clean`, and shortens it.
    pub fn presentable(mut self, clean: impl Fn(&str) -> String) -> Self {
        match &mut self {
            Self::Status { message: text, .. }
            | Self::Reported(text)
            | Self::Unreachable(text)
            | Self::BrokeOff(text)
            | Self::Malformed(text) => *text = shortened(&clean(text)),
            Self::TimedOut { .. } | Self::EndedEarly | Self::TooLarge { .. } => {}
        }
        self
    }
}

/// On one line and of bounded length.
fn shortened(text: &str) -> String {
    let mut kept = String::new();
    for (index, c) in text.trim().chars().enumerate() {
        if index == MESSAGE_CHARS_MAX {
            kept.push('…');
            break;
        }
        kept.push(if c.is_control() { ' ' } else { c });
    }
    kept
}

fn after_colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn attempts_of(attempts: u32) -> String {
    if attempts > 1 { format!(" (after {attempts} attempts)") } else { String::new() }
}
