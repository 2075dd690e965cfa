//! What a plugin asks of a judge and what it gets: the contract's records, free
//! of any binding.
//!
//! These types cross the worker protocol, which is not self-describing, so
//! what has no plain form there travels as JSON text.

use serde::{Deserialize, Serialize};

use super::plugin::PluginError;

/// One call of a model that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeRequest {
    /// Name of a judge profile in the configuration.
    pub profile: String,
    /// The item that it is about, by its id in the batch.
    pub interaction_id: Option<String>,
    /// The conversation: JSON of a list of [`Message`](super::interaction::Message)s.
    pub messages_json: String,
    /// JSON Schema that the reply must satisfy.
    pub schema_json: Option<String>,
    /// The most tokens of the reply.
    pub output_tokens_max: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
}

/// What a model replied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeReply {
    /// Its text.
    pub text: String,
    /// The model as the response named it.
    pub model: String,
    /// Why the model stopped.
    pub finish_reason: Option<String>,
    /// Tokens: JSON of [`Usage`](super::interaction::Usage).
    pub usage_json: String,
    /// The host's record of the call.
    pub transcript_id: String,
}

/// A judge's answer to one request.
pub type JudgeAnswer = Result<JudgeReply, PluginError>;
