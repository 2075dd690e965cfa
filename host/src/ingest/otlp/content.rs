//! What the messages and values of a span say: the question, the answer, and
//! what tools returned in between.

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;

use super::messages;
use crate::domain::interaction::{Message, Part, Role, ToolCall};

/// The text of a message and its parts that are not text.
pub(super) fn split(parts: &[Part]) -> (String, Vec<Part>) {
    let mut text = String::new();
    let mut media = Vec::new();
    for part in parts {
        match part {
            Part::Text { text: more } => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(more);
            }
            other => media.push(other.clone()),
        }
    }
    (text, media)
}

/// Moves what tools answered from messages of their own into the calls that
/// they answer. A message that names no known call stays.
pub(super) fn fold_results(messages: &mut Vec<Message>) {
    if !messages.iter().any(|message| message.role == Role::Tool) {
        return;
    }
    let mut calls: HashMap<String, (usize, usize)> = HashMap::new();
    let mut kept: Vec<Message> = Vec::with_capacity(messages.len());
    for message in messages.drain(..) {
        if message.role == Role::Tool {
            let place = message.tool_calls.first().and_then(|call| calls.remove(call.id.as_deref()?));
            if let Some((at, call)) = place {
                kept[at].tool_calls[call].output = Some(split(&message.parts).0);
                continue;
            }
        } else {
            for (at, call) in message.tool_calls.iter().enumerate() {
                if let (Some(id), None) = (&call.id, &call.output) {
                    calls.insert(id.clone(), (kept.len(), at));
                }
            }
        }
        kept.push(message);
    }
    *messages = kept;
}

/// The place of the last message that a user wrote.
pub(super) fn last_question(messages: &[Message]) -> Option<usize> {
    messages.iter().rposition(|message| message.role == Role::User && !message.parts.is_empty())
}

/// The first message that holds an answer; a tool's call alone is none.
pub(super) fn answer(messages: &[Message]) -> Option<&Message> {
    messages.iter().find(|message| message.role == Role::Assistant && !message.parts.is_empty())
}

/// The calls of all messages.
pub(super) fn calls(messages: &[Message]) -> impl Iterator<Item = &ToolCall> {
    messages.iter().filter(|message| message.role != Role::Tool).flat_map(|message| &message.tool_calls)
}

/// What a value that is no list of messages turned out to be.
pub(super) enum Value {
    Messages(Vec<Message>),
    /// JSON whose shape says nothing.
    Unread(String),
}

/// Names under which frameworks pass the question on.
const QUESTIONS: &[&str] =
    &["query", "question", "input", "prompt", "user_input", "message", "text", "content"];

/// Names under which frameworks pass the answer on.
const ANSWERS: &[&str] =
    &["output", "answer", "response", "result", "completion", "message", "text", "content"];

/// Reads a value that goes into a span.
pub(super) fn question(value: String, is_json: bool) -> Value {
    read(value, is_json, Role::User, QUESTIONS)
}

/// Reads a value that comes out of a span.
pub(super) fn reply(value: String, is_json: bool) -> Value {
    read(value, is_json, Role::Assistant, ANSWERS)
}

fn read(value: String, is_json: bool, role: Role, names: &[&str]) -> Value {
    if !is_json {
        return Value::Messages(vec![messages::plain(role, value)]);
    }
    match read_json(&value, role, names) {
        Some(messages) => Value::Messages(messages),
        None => Value::Unread(value),
    }
}

fn read_json(value: &str, role: Role, names: &[&str]) -> Option<Vec<Message>> {
    let some = |messages: Vec<Message>| (!messages.is_empty()).then_some(messages);
    match value.trim_start().as_bytes().first()? {
        b'"' => Some(vec![messages::plain(role, serde_json::from_str(value).ok()?)]),
        b'[' => some(messages::list(value, role)?.0),
        b'{' => {
            let object: BTreeMap<String, &RawValue> = serde_json::from_str(value).ok()?;
            if let Some(list) = object.get("messages").and_then(|raw| messages::list(raw.get(), role)) {
                return some(list.0);
            }
            if let Some(choices) = object.get("choices") {
                let choices: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(choices.get()).ok()?;
                let message = choices.first()?.get("message")?;
                return some(messages::list(message.get(), role)?.0);
            }
            if object.contains_key("role") {
                return some(messages::list(value, role)?.0);
            }
            let texts = |name: &&str| {
                let raw = object.get(*name)?;
                raw.get().starts_with('"').then(|| messages::text_of(raw)).flatten()
            };
            let text = names.iter().find_map(texts)?;
            Some(vec![messages::plain(role, text)])
        }
        _ => None,
    }
}
