//! What is known of one span and of one log event, whoever wrote it.
//!
//! Both are kept as JSON until their trace is complete, so missing facts take
//! no room and a record of an older version can still be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{broken_off, hex};
use crate::domain::interaction::{Document, Message, ToolCall, Usage};
use crate::domain::production::IncomingScore;

/// What a span stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanKind {
    /// An agent's work on one request.
    Agent,
    /// A step, or a sequence of steps, around models and tools.
    Chain,
    /// One call of a model that answers.
    Model,
    /// A search for documents.
    Retrieval,
    /// One call of a tool.
    Tool,
    /// A call of a model that makes vectors; it answers nobody, so its tokens are not the interaction's.
    Embedding,
    /// A check of the question or the answer; its models cost tokens but do not answer.
    Guardrail,
    /// An evaluator's work, which is none of the product's.
    Evaluation,
    /// Anything else; kept because it links those above and below it.
    #[default]
    Other,
}

/// One span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpanRecord {
    /// Id of its trace.
    #[serde(with = "hex")]
    pub trace: [u8; 16],
    /// Its own id.
    #[serde(with = "hex")]
    pub span: [u8; 8],
    /// Id of the span above it; none for a trace's root.
    #[serde(default, with = "hex::option", skip_serializing_if = "Option::is_none")]
    pub parent: Option<[u8; 8]>,
    /// What it stands for.
    pub kind: SpanKind,
    /// Its name.
    pub name: String,
    /// When it started, microseconds UTC.
    pub started_at_us: i64,
    /// When it ended; not before it started.
    pub ended_at_us: i64,
    /// What its attributes and events say.
    #[serde(default)]
    pub facts: Facts,
}

/// A log event that says something about a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogFact {
    /// Id of the span's trace.
    #[serde(with = "hex")]
    pub trace: [u8; 16],
    /// Id of the span.
    #[serde(with = "hex")]
    pub span: [u8; 8],
    /// When it happened, nanoseconds UTC: messages of one request stand closer than a microsecond.
    pub at_ns: u64,
    /// Its place in the request that brought it, for events of the same instant.
    #[serde(default)]
    pub place: u32,
    /// What it says.
    pub what: LogWhat,
}

/// What a log event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogWhat {
    /// The span's request and answer (`gen_ai.client.inference.operation.details`).
    Details(Box<Facts>),
    /// Messages of the request.
    Messages(Vec<Message>),
    /// One answer, with why the model stopped.
    Choice(Message, Option<String>),
    /// A score of the span's answer.
    Score(IncomingScore),
}

/// What attributes and events say. Everything may be missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The visit (`session.id`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The conversation (`gen_ai.conversation.id`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The customer that the user belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Name of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_version: Option<String>,
    /// Class of the request, where the client assigns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_class: Option<String>,
    /// Name of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_version: Option<String>,
    /// The model as the response named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether the answer was streamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streamed: Option<bool>,
    /// From the span's start to the first token of its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_us: Option<u64>,
    /// Why the model stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Tokens; `input` includes the cached ones.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: Usage,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The answer was broken off without an error of the product: what there is of it is what had come until then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub broken_off: bool,
    /// Messages of the request, oldest first, system instructions among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input: Vec<Message>,
    /// Messages of the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<Message>,
    /// What went in, where it is no list of messages: text, or JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_value: Option<String>,
    /// What came out, where it is no list of messages: text, or JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_value: Option<String>,
    /// Documents that were found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Document>,
    /// The tool that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolCall>,
    /// Scores of the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<IncomingScore>,
    /// What it cost, in the client's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Probability with which the client's sampling let the trace through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_probability: Option<f64>,
    /// Attributes without a field of their own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Facts {
    /// Draws the conclusion that a reason to stop allows once all facts are in.
    pub(super) fn settle(&mut self) {
        let short = self.finish_reason.as_deref().is_some_and(broken_off::stopped_short);
        self.broken_off |= short && self.error.is_none();
    }
}

impl SpanRecord {
    /// Whether it is an interaction by itself that need not wait for other
    /// spans: a model's call without a span above it that brought its own
    /// question and answer. Where they come in log events, it waits for them.
    pub fn stands_alone(&self) -> bool {
        let facts = &self.facts;
        let asked = !facts.input.is_empty() || facts.input_value.is_some();
        let ended = !facts.output.is_empty()
            || facts.output_value.is_some()
            || facts.error.is_some()
            || facts.broken_off;
        self.kind == SpanKind::Model && self.parent.is_none() && asked && ended
    }
}
