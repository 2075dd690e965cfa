//! Puts a question as a chat completions request.

use serde_json::{Map, Value, json};

use crate::domain::interaction::{Interaction, Item, Media, Message, Part, Role, ToolCall};
use crate::domain::target::Target;

/// What is asked: the question's side of an interaction.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Text of the last user message.
    pub query: &'a str,
    /// Its parts that are not text.
    pub query_media: &'a [Part],
    /// What came before, oldest first.
    pub history: &'a [Message],
}

impl<'a> From<&'a Interaction> for Question<'a> {
    fn from(from: &'a Interaction) -> Self {
        Self { query: &from.query, query_media: &from.query_media, history: &from.history }
    }
}

impl<'a> From<&'a Item> for Question<'a> {
    fn from(from: &'a Item) -> Self {
        Self { query: &from.query, query_media: &from.query_media, history: &from.history }
    }
}

/// A question that cannot be put as a chat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ask the target: {0}")]
pub struct QuestionError(String);

/// What an endpoint understands; found out by asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Whether a stream's usage can be asked for.
    pub(super) stream_options: bool,
    /// Whether the limit is called `max_completion_tokens`.
    pub(super) completion_limit: bool,
}

impl Dialect {
    /// What to change after a refusal of this status and message, if anything.
    pub(super) fn after_refusal(self, target: &Target, status: u16, message: &str) -> Option<Self> {
        if !matches!(status, 400 | 422) {
            return None;
        }
        let about = |name| message.contains(name);
        if target.stream && self.stream_options && (about("stream_options") || about("include_usage")) {
            return Some(Self { stream_options: false, ..self });
        }
        let limited = target.max_output_tokens.is_some();
        if limited && !self.completion_limit && about("max_completion_tokens") {
            return Some(Self { completion_limit: true, ..self });
        }
        None
    }
}

/// The request's body.
pub(super) fn body(target: &Target, messages: &[Value], dialect: Dialect) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(target.model));
    body.insert("messages".into(), json!(messages));
    body.insert("stream".into(), json!(target.stream));
    if target.stream && dialect.stream_options {
        body.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    if let Some(temperature) = target.temperature {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(limit) = target.max_output_tokens {
        let name = if dialect.completion_limit { "max_completion_tokens" } else { "max_tokens" };
        body.insert(name.into(), json!(limit));
    }
    Value::Object(body)
}

/// The conversation: the target's system prompt, what came before, the query.
pub(super) fn messages(system: Option<&str>, question: Question<'_>) -> Result<Vec<Value>, QuestionError> {
    let mut messages = Vec::with_capacity(question.history.len() + 2);
    if let Some(system) = system {
        messages.push(json!({ "role": "system", "content": system }));
    }
    let mut tools = Tools::default();
    for (index, message) in question.history.iter().enumerate() {
        history(&mut messages, &mut tools, message)
            .map_err(|reason| QuestionError(format!("history message {index}: {reason}")))?;
    }
    if question.query.is_empty() && question.query_media.is_empty() {
        return Err(QuestionError("the query is empty".into()));
    }
    let text = (!question.query.is_empty()).then(|| Part::Text { text: question.query.to_owned() });
    let parts: Vec<&Part> = text.iter().chain(question.query_media).collect();
    let content = content(&parts).map_err(|reason| QuestionError(format!("query: {reason}")))?;
    messages.push(json!({ "role": "user", "content": content }));
    Ok(messages)
}

/// Messages as a chat has them.
pub fn chat(messages: &[Message]) -> Result<Vec<Value>, QuestionError> {
    let mut sent = Vec::with_capacity(messages.len());
    let mut tools = Tools::default();
    for (index, message) in messages.iter().enumerate() {
        history(&mut sent, &mut tools, message)
            .map_err(|reason| QuestionError(format!("message {index}: {reason}")))?;
    }
    Ok(sent)
}

/// Calls of the last assistant message that no tool has answered yet.
#[derive(Default)]
struct Tools {
    open: Vec<String>,
    calls: usize,
}

/// A chat has a call's output in a message of its own, the domain has it in the
/// call as well; whichever is there is sent.
fn history(messages: &mut Vec<Value>, tools: &mut Tools, message: &Message) -> Result<(), String> {
    let parts: Vec<&Part> = message.parts.iter().collect();
    if message.role == Role::Tool {
        let id = match message.tool_calls.first().and_then(|call| call.id.clone()) {
            Some(id) => {
                tools.open.retain(|open| *open != id);
                id
            }
            None if tools.open.is_empty() => return Err("a tool's message answers no call".into()),
            None => tools.open.remove(0),
        };
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": content(&parts)? }));
        return Ok(());
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant | Role::Tool => "assistant",
    };
    let mut sent = Map::new();
    sent.insert("role".into(), json!(role));
    if let Some(name) = &message.name {
        sent.insert("name".into(), json!(name));
    }
    let content =
        if parts.is_empty() && !message.tool_calls.is_empty() { Value::Null } else { content(&parts)? };
    sent.insert("content".into(), content);
    let mut outputs = Vec::new();
    if message.role == Role::Assistant && !message.tool_calls.is_empty() {
        tools.open.clear();
        let calls: Vec<Value> =
            message.tool_calls.iter().map(|call| tool_call(call, tools, &mut outputs)).collect();
        sent.insert("tool_calls".into(), json!(calls));
    }
    messages.push(Value::Object(sent));
    messages.extend(outputs);
    Ok(())
}

fn tool_call(call: &ToolCall, tools: &mut Tools, outputs: &mut Vec<Value>) -> Value {
    tools.calls += 1;
    let id = call.id.clone().unwrap_or_else(|| format!("call_{}", tools.calls));
    match call.output.as_ref().or(call.error.as_ref()) {
        Some(output) => outputs.push(json!({ "role": "tool", "tool_call_id": id, "content": output })),
        None => tools.open.push(id.clone()),
    }
    json!({ "id": id, "type": "function", "function": { "name": call.name, "arguments": call.arguments } })
}

/// One text is sent as a string, which every endpoint takes; only more than
/// that is sent as a list of parts.
fn content(parts: &[&Part]) -> Result<Value, String> {
    match parts {
        [] => Ok(json!("")),
        [Part::Text { text }] => Ok(json!(text)),
        _ => parts.iter().map(|sent| part(sent)).collect(),
    }
}

fn part(part: &Part) -> Result<Value, String> {
    match part {
        Part::Text { text } => Ok(json!({ "type": "text", "text": text })),
        Part::Image(Media { uri, .. }) => Ok(json!({ "type": "image_url", "image_url": { "url": uri } })),
        Part::File(Media { uri, name, .. }) if uri.starts_with("data:") => {
            let mut file = Map::new();
            file.insert("file_data".into(), json!(uri));
            if let Some(name) = name {
                file.insert("filename".into(), json!(name));
            }
            Ok(json!({ "type": "file", "file": file }))
        }
        Part::File(_) => Err("a file is not given as a `data:` URI, and the host fetches nothing".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(item: Value) -> Result<Value, QuestionError> {
        let item: Interaction = serde_json::from_value(item).expect("an interaction");
        messages(Some("be brief"), Question::from(&item)).map(Value::from)
    }

    #[test]
    fn puts_the_system_prompt_first_and_the_query_last() {
        let sent = asked(json!({
            "query": "and now?",
            "history": [
                { "role": "system", "parts": [{ "type": "text", "text": "be kind" }] },
                { "role": "user", "name": "ada", "parts": [{ "type": "text", "text": "hello" }] },
                { "role": "assistant", "parts": [{ "type": "text", "text": "hi" }] },
            ],
        }));
        assert_eq!(
            sent,
            Ok(json!([
                { "role": "system", "content": "be brief" },
                { "role": "system", "content": "be kind" },
                { "role": "user", "name": "ada", "content": "hello" },
                { "role": "assistant", "content": "hi" },
                { "role": "user", "content": "and now?" },
            ]))
        );
    }

    #[test]
    fn sends_images_by_reference_behind_the_text() {
        let sent = asked(json!({
            "query": "what is it?",
            "query_media": [
                { "type": "image", "uri": "https://a.example/cat.png" },
                { "type": "file", "uri": "data:text/plain;base64,aGk=", "name": "hi.txt" },
            ],
        }));
        assert_eq!(
            sent.expect("asked")[1]["content"],
            json!([
                { "type": "text", "text": "what is it?" },
                { "type": "image_url", "image_url": { "url": "https://a.example/cat.png" } },
                { "type": "file", "file": { "file_data": "data:text/plain;base64,aGk=", "filename": "hi.txt" } },
            ])
        );
    }

    #[test]
    fn sends_outputs_of_tools_as_messages_that_name_their_call() {
        let sent = asked(json!({
            "query": "thanks",
            "history": [
                { "role": "assistant", "tool_calls": [
                    { "id": "a", "name": "look", "arguments": "{}", "output": "seen" },
                    { "name": "ask", "arguments": "{\"q\":1}" },
                ] },
                { "role": "tool", "parts": [{ "type": "text", "text": "told" }] },
            ],
        }))
        .expect("asked");
        let call = |id, name, arguments| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
        assert_eq!(
            sent[1],
            json!({
                "role": "assistant", "content": null,
                "tool_calls": [call("a", "look", "{}"), call("call_2", "ask", "{\"q\":1}")],
            })
        );
        assert_eq!(sent[2], json!({ "role": "tool", "tool_call_id": "a", "content": "seen" }));
        assert_eq!(sent[3], json!({ "role": "tool", "tool_call_id": "call_2", "content": "told" }));
    }

    #[test]
    fn refuses_what_a_chat_cannot_express() {
        let cases = [
            (json!({ "query": "" }), "ask the target: the query is empty"),
            (
                json!({ "query": "q", "history": [{ "role": "tool" }] }),
                "ask the target: history message 0: a tool's message answers no call",
            ),
            (
                json!({ "query": "q", "query_media": [{ "type": "file", "uri": "s3://bucket/a.pdf" }] }),
                "ask the target: query: a file is not given as a `data:` URI, and the host fetches nothing",
            ),
        ];
        for (item, message) in cases {
            assert_eq!(asked(item).expect_err("refused").to_string(), message);
        }
    }
}
