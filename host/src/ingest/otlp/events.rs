//! GenAI events. They come on the span itself or as log records, in today's
//! form (one event with everything) or in the older one (one for each message).

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{messages, value};
use crate::domain::interaction::{Message, Role};
use crate::domain::production::IncomingScore;

/// What an event says.
#[derive(Debug)]
pub(super) enum Event {
    /// Attributes of the request and its answer.
    Details(Vec<KeyValue>),
    /// Messages of the request.
    Messages(Vec<Message>),
    /// One answer, with why the model stopped.
    Choice(Message, Option<String>),
    /// A score of the answer.
    Score(IncomingScore),
    /// The first token arrived.
    FirstToken,
    /// An exception's type and text.
    Exception(Option<String>, Option<String>),
}

/// Name of the event that brings a score.
pub(super) const SCORE: &str = "gen_ai.evaluation.result";

/// Reads an event; none where it is none of ours, or says nothing: clients that
/// may not pass on content send the events of messages without it.
pub(super) fn read(name: &str, attributes: Vec<KeyValue>, body: Option<AnyValue>) -> Option<Event> {
    match name {
        "gen_ai.client.inference.operation.details"
        | "gen_ai.content.prompt"
        | "gen_ai.content.completion" => Some(Event::Details(with_body(attributes, body))),
        "gen_ai.user.message" => message(Role::User, attributes, body),
        "gen_ai.system.message" => message(Role::System, attributes, body),
        "gen_ai.assistant.message" => message(Role::Assistant, attributes, body),
        "gen_ai.tool.message" => message(Role::Tool, attributes, body),
        "gen_ai.choice" => choice(attributes, body),
        SCORE => score(with_body(attributes, body)),
        "First Token Stream Event" => Some(Event::FirstToken),
        "exception" => {
            let mut found = (None, None);
            for attribute in attributes {
                match (attribute.key.as_str(), attribute.value) {
                    ("exception.type", Some(kind)) => found.0 = value::name(kind),
                    ("exception.message", Some(text)) => found.1 = value::name(text),
                    _ => {}
                }
            }
            Some(Event::Exception(found.0, found.1))
        }
        _ => None,
    }
}

/// Some clients put into the body what others put into attributes.
fn with_body(mut attributes: Vec<KeyValue>, body: Option<AnyValue>) -> Vec<KeyValue> {
    if let Some(AnyValue { value: Some(Value::KvlistValue(list)) }) = body {
        attributes.extend(list.values);
    }
    attributes
}

/// The JSON object of an older event: its body, the attribute that some clients
/// put it into, or its attributes.
fn object(attributes: &[KeyValue], body: Option<AnyValue>) -> String {
    if let Some(text) = body.and_then(value::name) {
        return text;
    }
    let wrapped = attributes.iter().find(|attribute| attribute.key == "gen_ai.event.content");
    match wrapped.and_then(|attribute| value::name(attribute.value.clone()?)) {
        Some(text) => text,
        None => value::json_object(attributes),
    }
}

fn message(role: Role, attributes: Vec<KeyValue>, body: Option<AnyValue>) -> Option<Event> {
    let text = object(&attributes, body);
    let messages = match messages::list(&text, role) {
        Some((messages, _)) => messages,
        None => vec![messages::plain(role, text)],
    };
    (!messages.is_empty()).then_some(Event::Messages(messages))
}

#[derive(Deserialize)]
struct RawChoice<'a> {
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(default)]
    finish_reason: Option<String>,
}

fn choice(attributes: Vec<KeyValue>, body: Option<AnyValue>) -> Option<Event> {
    let text = object(&attributes, body);
    let raw: RawChoice<'_> = serde_json::from_str(&text).ok()?;
    // Without a message the choice itself is one.
    let said = raw.message.map_or_else(|| Some(text.clone()), messages::text_of)?;
    let message = match messages::list(&said, Role::Assistant) {
        Some((messages, _)) => messages.into_iter().next(),
        None => Some(messages::plain(Role::Assistant, said)),
    };
    let nothing = || Message { role: Role::Assistant, name: None, parts: vec![], tool_calls: vec![] };
    (message.is_some() || raw.finish_reason.is_some())
        .then(|| Event::Choice(message.unwrap_or_else(nothing), raw.finish_reason))
}

fn score(attributes: Vec<KeyValue>) -> Option<Event> {
    let mut found = IncomingScore { name: String::new(), value: None, label: None, explanation: None };
    for attribute in attributes {
        let Some(value) = attribute.value else { continue };
        match attribute.key.as_str() {
            "gen_ai.evaluation.name" => found.name = value::name(value)?,
            "gen_ai.evaluation.score.value" => found.value = value::number(&value),
            "gen_ai.evaluation.score.label" => found.label = value::name(value),
            "gen_ai.evaluation.explanation" => found.explanation = value::name(value),
            _ => {}
        }
    }
    let says = found.value.is_some() || found.label.is_some();
    (says && !found.name.is_empty()).then_some(Event::Score(found))
}
