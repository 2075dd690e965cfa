//! Between the contract's records and the domain's, field by field. Strings
//! are moved, not copied.

use super::bindings::v0_1::assay::plugin::types as wit;
use super::bindings::v0_1::exports::assay::plugin::lifecycle;
use crate::domain::interaction::{
    Document, Interaction, Media, Message, Part, Role, Timing, ToolCall, Usage,
};
use crate::domain::plugin::{
    Capability, Direction, Evidence, Output, OutputKind, PluginError, PluginErrorKind, Problem, Score,
    Signal, Value,
};
use crate::protocol::JobEvent;

fn list<A, B: From<A>>(items: Vec<A>) -> Vec<B> {
    items.into_iter().map(B::from).collect()
}

/// The record that a guest gets.
pub fn interaction(id: String, from: Interaction) -> wit::Interaction {
    wit::Interaction {
        id,
        query: from.query,
        query_media: list(from.query_media),
        actual: from.actual,
        actual_media: list(from.actual_media),
        expected: from.expected,
        history: list(from.history),
        documents: list(from.documents),
        tool_calls: list(from.tool_calls),
        timing: from.timing.into(),
        usage: from.usage.into(),
        model: from.model,
        finish_reason: from.finish_reason,
        error: from.error,
        request_class: from.request_class,
        template: from.template,
        template_version: from.template_version,
        metadata: from.metadata.into_iter().map(|(name, value)| wit::Entry { name, value }).collect(),
        extra_json: from.extra.map(|extra| serde_json::Value::Object(extra).to_string()),
    }
}

/// The record that a guest gets.
pub fn session(
    id: String,
    user: Option<String>,
    interactions: Vec<wit::Interaction>,
    events: Vec<JobEvent>,
) -> wit::Session {
    wit::Session { id, user, interactions, events: list(events), extra_json: None }
}

impl From<JobEvent> for wit::Event {
    fn from(event: JobEvent) -> Self {
        Self {
            at_us: event.at_us,
            kind: event.kind,
            interaction_id: event.interaction_id,
            value_json: event.value_json,
        }
    }
}

impl From<Part> for wit::Part {
    fn from(part: Part) -> Self {
        match part {
            Part::Text { text } => Self::Text(text),
            Part::Image(media) => Self::Image(media.into()),
            Part::File(media) => Self::File(media.into()),
        }
    }
}

impl From<Media> for wit::Media {
    fn from(media: Media) -> Self {
        Self { uri: media.uri, media_type: media.media_type, name: media.name }
    }
}

impl From<Message> for wit::Message {
    fn from(message: Message) -> Self {
        Self {
            role: match message.role {
                Role::System => wit::Role::System,
                Role::User => wit::Role::User,
                Role::Assistant => wit::Role::Assistant,
                Role::Tool => wit::Role::Tool,
            },
            name: message.name,
            parts: list(message.parts),
            tool_calls: list(message.tool_calls),
        }
    }
}

impl From<wit::Message> for Message {
    fn from(message: wit::Message) -> Self {
        Self {
            role: match message.role {
                wit::Role::System => Role::System,
                wit::Role::User => Role::User,
                wit::Role::Assistant => Role::Assistant,
                wit::Role::Tool => Role::Tool,
            },
            name: message.name,
            parts: list(message.parts),
            tool_calls: list(message.tool_calls),
        }
    }
}

impl From<wit::Part> for Part {
    fn from(part: wit::Part) -> Self {
        match part {
            wit::Part::Text(text) => Self::Text { text },
            wit::Part::Image(media) => Self::Image(media.into()),
            wit::Part::File(media) => Self::File(media.into()),
        }
    }
}

impl From<wit::Media> for Media {
    fn from(media: wit::Media) -> Self {
        Self { uri: media.uri, media_type: media.media_type, name: media.name }
    }
}

impl From<wit::ToolCall> for ToolCall {
    fn from(call: wit::ToolCall) -> Self {
        Self {
            id: call.id,
            name: call.name,
            arguments: call.arguments_json,
            output: call.output,
            error: call.error,
        }
    }
}

impl From<ToolCall> for wit::ToolCall {
    fn from(call: ToolCall) -> Self {
        Self {
            id: call.id,
            name: call.name,
            arguments_json: call.arguments,
            output: call.output,
            error: call.error,
        }
    }
}

impl From<Document> for wit::Document {
    fn from(document: Document) -> Self {
        Self {
            id: document.id,
            title: document.title,
            uri: document.uri,
            content: document.content,
            relevance: document.relevance,
        }
    }
}

impl From<Usage> for wit::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cached_input: usage.cached_input,
            cache_write_input: usage.cache_write_input,
            reasoning: usage.reasoning,
        }
    }
}

impl From<Timing> for wit::Timing {
    fn from(timing: Timing) -> Self {
        Self {
            started_at_us: timing.started_at_us,
            total_us: timing.total_us,
            first_token_us: timing.first_token_us,
            streamed: timing.streamed,
        }
    }
}

impl From<wit::Value> for Value {
    fn from(value: wit::Value) -> Self {
        match value {
            wit::Value::Number(number) => Self::Number(number),
            wit::Value::Boolean(yes) => Self::Boolean(yes),
            wit::Value::Category(name) => Self::Category(name),
        }
    }
}

impl From<wit::Signal> for Signal {
    fn from(signal: wit::Signal) -> Self {
        Self {
            output: signal.output,
            interaction_id: signal.interaction_id,
            value: signal.value.into(),
            reason: signal.reason,
            extra_json: signal.extra_json,
        }
    }
}

impl From<wit::Score> for Score {
    fn from(score: wit::Score) -> Self {
        Self {
            output: score.output,
            value: score.value.into(),
            reason: score.reason,
            evidence: list(score.evidence),
            extra_json: score.extra_json,
        }
    }
}

impl From<wit::Evidence> for Evidence {
    fn from(evidence: wit::Evidence) -> Self {
        Self { field: evidence.field, quote: evidence.quote }
    }
}

/// A failure mode is a score of its own, whose value is the confidence.
impl From<wit::Label> for Score {
    fn from(label: wit::Label) -> Self {
        Self {
            output: label.failure_mode,
            value: Value::Number(label.confidence),
            reason: label.reason,
            evidence: list(label.evidence),
            extra_json: label.extra_json,
        }
    }
}

impl From<wit::PluginError> for PluginError {
    fn from(error: wit::PluginError) -> Self {
        let (kind, message) = match error {
            wit::PluginError::BadConfig(message) => (PluginErrorKind::BadConfig, message),
            wit::PluginError::BadInput(message) => (PluginErrorKind::BadInput, message),
            wit::PluginError::Unsupported(message) => (PluginErrorKind::Unsupported, message),
            wit::PluginError::HostDenied(message) => (PluginErrorKind::HostDenied, message),
            wit::PluginError::HostUnavailable(message) => (PluginErrorKind::HostUnavailable, message),
            wit::PluginError::BudgetExhausted(message) => (PluginErrorKind::BudgetExhausted, message),
            wit::PluginError::Internal(message) => (PluginErrorKind::Internal, message),
        };
        Self { kind, message }
    }
}

impl From<lifecycle::Problem> for Problem {
    fn from(problem: lifecycle::Problem) -> Self {
        Self { path: problem.path, message: problem.message }
    }
}

impl From<lifecycle::Output> for Output {
    fn from(output: lifecycle::Output) -> Self {
        Self {
            name: output.name,
            capability: match output.capability {
                lifecycle::Capability::Score => Capability::Score,
                lifecycle::Capability::Label => Capability::Label,
                lifecycle::Capability::Signal => Capability::Signal,
            },
            kind: match output.kind {
                lifecycle::OutputKind::Number(range) => {
                    OutputKind::Number { low: range.low, high: range.high }
                }
                lifecycle::OutputKind::Boolean => OutputKind::Boolean,
                lifecycle::OutputKind::Category(names) => OutputKind::Category(names),
            },
            direction: match output.direction {
                lifecycle::Direction::HigherIsBetter => Direction::HigherIsBetter,
                lifecycle::Direction::LowerIsBetter => Direction::LowerIsBetter,
                lifecycle::Direction::Neutral => Direction::Neutral,
            },
            description: output.description,
        }
    }
}
