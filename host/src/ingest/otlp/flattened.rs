//! Lists that OpenInference spreads over many attributes, such as
//! `llm.input_messages.0.message.contents.1.message_content.text`.
//!
//! Places may come in any order and with gaps; a client can name any place, so
//! nothing here grows with a place's number.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::AnyValue;

use super::documents;
use super::messages;
use super::names::Spread;
use super::value;
use crate::domain::interaction::{Document, Media, Message, Part, Role, ToolCall};

/// The lists of one span.
#[derive(Debug, Default)]
pub(super) struct Lists {
    input: BTreeMap<u32, DraftMessage>,
    output: BTreeMap<u32, DraftMessage>,
    documents: BTreeMap<u32, documents::Draft>,
}

#[derive(Debug, Default)]
struct DraftMessage {
    role: Option<String>,
    name: Option<String>,
    content: Option<String>,
    contents: BTreeMap<u32, DraftPart>,
    calls: BTreeMap<u32, DraftCall>,
    answers: Option<String>,
}

#[derive(Debug, Default)]
struct DraftPart {
    kind: Option<String>,
    text: Option<String>,
    image: Option<String>,
    other: Option<String>,
}

#[derive(Debug, Default)]
struct DraftCall {
    id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
}

/// A place and what follows it.
fn place(path: &str) -> Option<(u32, &str)> {
    let (place, rest) = path.split_once('.')?;
    Some((place.parse().ok()?, rest))
}

impl Lists {
    /// Takes one attribute; what it names in no known way is left out.
    pub(super) fn set(&mut self, list: Spread, path: &str, value: AnyValue) {
        let Some((at, rest)) = place(path) else { return };
        match list {
            Spread::InputMessages => self.input.entry(at).or_default().set(rest, value),
            Spread::OutputMessages => self.output.entry(at).or_default().set(rest, value),
            Spread::Documents => {
                let document = self.documents.entry(at).or_default();
                match rest {
                    "document.id" => document.id = value::name(value),
                    "document.content" => document.content = value::text(value),
                    "document.score" => document.score = value::number(&value),
                    "document.metadata" => document.metadata = value::text(value),
                    _ => {}
                }
            }
            Spread::Ignored => {}
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Message>, Vec<Message>, Vec<Document>) {
        let messages = |drafts: BTreeMap<u32, DraftMessage>, role| {
            drafts.into_values().filter_map(|draft| draft.finish(role)).collect()
        };
        (
            messages(self.input, Role::User),
            messages(self.output, Role::Assistant),
            self.documents.into_values().filter_map(documents::Draft::finish).collect(),
        )
    }
}

impl DraftMessage {
    fn set(&mut self, path: &str, value: AnyValue) {
        let Some(path) = path.strip_prefix("message.") else { return };
        match path {
            "role" => self.role = value::name(value),
            "name" => self.name = value::name(value),
            "content" => self.content = value::text(value),
            "tool_call_id" => self.answers = value::name(value),
            "function_call_name" => self.calls.entry(0).or_default().name = value::name(value),
            "function_call_arguments_json" => {
                self.calls.entry(0).or_default().arguments = value::text(value);
            }
            _ => {
                if let Some((at, rest)) = path.strip_prefix("contents.").and_then(place) {
                    self.contents.entry(at).or_default().set(rest, value);
                } else if let Some((at, rest)) = path.strip_prefix("tool_calls.").and_then(place) {
                    self.calls.entry(at).or_default().set(rest, value);
                }
            }
        }
    }

    fn finish(self, otherwise: Role) -> Option<Message> {
        let role = messages::role(self.role.as_deref(), otherwise);
        let mut parts: Vec<Part> = self.contents.into_values().filter_map(DraftPart::finish).collect();
        if parts.is_empty() {
            parts.extend(self.content.map(|text| Part::Text { text }));
        }
        if role == Role::Tool {
            return (!parts.is_empty()).then(|| messages::result(self.answers, self.name, parts));
        }
        let tool_calls: Vec<ToolCall> = self.calls.into_values().map(DraftCall::finish).collect();
        (!parts.is_empty() || !tool_calls.is_empty()).then_some(Message {
            role,
            name: self.name,
            parts,
            tool_calls,
        })
    }
}

impl DraftPart {
    fn set(&mut self, path: &str, value: AnyValue) {
        match path {
            "message_content.type" => self.kind = value::name(value),
            "message_content.text" => self.text = value::text(value),
            "message_content.image.image.url" => self.image = value::name(value),
            "message_content.audio.audio.url"
            | "message_content.video.video.url"
            | "message_content.document.document.url" => self.other = value::name(value),
            _ => {}
        }
    }

    fn finish(self) -> Option<Part> {
        let media = |uri| Media { uri, media_type: None, name: None };
        match self.kind.as_deref() {
            // What a model thinks is not what it says.
            Some("reasoning" | "thinking" | "redacted_thinking") => None,
            _ => self
                .image
                .map(|uri| Part::Image(media(uri)))
                .or_else(|| self.other.map(|uri| Part::File(media(uri))))
                .or_else(|| self.text.map(|text| Part::Text { text })),
        }
    }
}

impl DraftCall {
    fn set(&mut self, path: &str, value: AnyValue) {
        match path {
            "tool_call.id" => self.id = value::name(value),
            "tool_call.function.name" => self.name = value::name(value),
            "tool_call.function.arguments" => self.arguments = value::text(value),
            _ => {}
        }
    }

    fn finish(self) -> ToolCall {
        ToolCall {
            id: self.id,
            name: self.name.unwrap_or_default(),
            arguments: self.arguments.unwrap_or_default(),
            output: None,
            error: None,
        }
    }
}
