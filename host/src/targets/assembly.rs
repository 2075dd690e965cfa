//! Puts an answer together from what an endpoint sends, whole or in pieces.
//!
//! Endpoints differ in what they leave out or set to null, so only what is
//! used is read, and what is missing stays missing.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::attempt::Fault;
use super::errors::Failure;
use crate::domain::interaction::{ToolCall, Usage};

/// What has come of an answer so far.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pub(super) text: String,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) usage: Usage,
    pub(super) model: Option<String>,
    pub(super) finish_reason: Option<String>,
    refusal: String,
    /// Whether there was a choice at all.
    chosen: bool,
    /// Which call an index means at the moment.
    positions: HashMap<u64, usize>,
}

/// A whole chat completion, as far as a judge's client reads it.
#[derive(Debug)]
pub struct Completion {
    /// Its text; a refusal where there is no other.
    pub text: String,
    /// Tokens.
    pub usage: Usage,
    /// The model as the response named it.
    pub model: Option<String>,
    /// Why it stopped.
    pub finish_reason: Option<String>,
}

impl Completion {
    /// Reads the body of a response that was not streamed.
    pub fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut assembly = Assembly::default();
        if let Piece::Error(reported) = assembly.take(body)? {
            return Err(Fault::reported(reported));
        }
        let Assembly { text, usage, model, finish_reason, .. } = assembly.complete()?;
        Ok(Self { text, usage, model, finish_reason })
    }
}

/// What a piece brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// Text, reasoning or a part of a call.
    Token,
    /// Anything else.
    Nothing,
}

/// An error that stands in the body of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) message: String,
    /// An HTTP status, where the body names one.
    pub(super) status: Option<u16>,
}

/// What a body, or an event's data, turned out to be.
#[derive(Debug)]
pub(super) enum Piece {
    Part(Brought),
    Error(Reported),
}

#[derive(Deserialize)]
struct Body {
    choices: Option<Vec<Choice>>,
    model: Option<String>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    #[serde(alias = "message")]
    delta: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
    tool_calls: Option<Vec<CallPart>>,
}

/// Most send a string; some that reason send a list of typed parts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Value>),
}

#[derive(Deserialize)]
struct CallPart {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionPart>,
}

#[derive(Deserialize)]
struct FunctionPart {
    name: Option<String>,
    arguments: Option<String>,
}

impl Assembly {
    /// Takes in a whole response or one event's data.
    pub(super) fn take(&mut self, json: &[u8]) -> Result<Piece, Failure> {
        let value: Value =
            serde_json::from_slice(json).map_err(|error| Failure::Malformed(format!("not JSON: {error}")))?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            let status = error.get("code").or_else(|| error.get("status")).and_then(Value::as_u64);
            let status = status.and_then(|status| u16::try_from(status).ok());
            return Ok(Piece::Error(Reported { message: error_message(&value), status }));
        }
        let body: Body =
            serde_json::from_value(value).map_err(|error| Failure::Malformed(error.to_string()))?;
        if let Some(model) = body.model.filter(|model| !model.is_empty()) {
            self.model = Some(model);
        }
        if let Some(reported) = body.usage.filter(|usage| !usage.is_null()) {
            self.usage = usage(&reported);
        }
        let mut brought = Brought::Nothing;
        for choice in body.choices.unwrap_or_default() {
            if choice.index.unwrap_or(0) != 0 {
                continue;
            }
            self.chosen = true;
            if choice.finish_reason.as_ref().is_some_and(|reason| !reason.is_empty()) {
                self.finish_reason = choice.finish_reason;
            }
            if let Some(said) = choice.delta
                && self.said(said) == Brought::Token
            {
                brought = Brought::Token;
            }
        }
        Ok(Piece::Part(brought))
    }

    fn said(&mut self, said: Said) -> Brought {
        let reasoned =
            [said.reasoning, said.reasoning_content].iter().flatten().any(|value| !is_empty(value));
        let before = (self.text.len(), self.refusal.len());
        let thought = match said.content {
            Some(Content::Text(text)) => {
                self.text.push_str(&text);
                false
            }
            Some(Content::Parts(parts)) => {
                for text in parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)) {
                    self.text.push_str(text);
                }
                !parts.is_empty()
            }
            None => false,
        };
        self.refusal.push_str(said.refusal.as_deref().unwrap_or_default());
        let mut called = false;
        for part in said.tool_calls.into_iter().flatten() {
            called = true;
            self.called(part);
        }
        let spoke = before != (self.text.len(), self.refusal.len());
        if spoke || thought || reasoned || called { Brought::Token } else { Brought::Nothing }
    }

    /// A call comes in parts that share an index. Some endpoints leave the
    /// index out, or give 0 to every call; a new id then means a new call.
    fn called(&mut self, part: CallPart) {
        let id = part.id.filter(|id| !id.is_empty());
        let current = match part.index {
            Some(index) => self.positions.get(&index).copied(),
            None if id.is_none() => self.tool_calls.len().checked_sub(1),
            None => None,
        };
        let continues = |at: &usize| {
            let known = &self.tool_calls[*at].id;
            id.is_none() || known.is_none() || *known == id
        };
        let at = current.filter(continues).unwrap_or_else(|| {
            self.tool_calls.push(ToolCall {
                id: None,
                name: String::new(),
                arguments: String::new(),
                output: None,
                error: None,
            });
            self.tool_calls.len() - 1
        });
        if let Some(index) = part.index {
            self.positions.insert(index, at);
        }
        let call = &mut self.tool_calls[at];
        call.id = id.or(call.id.take());
        if let Some(function) = part.function {
            // The name comes whole, and from some endpoints with every part.
            if let Some(name) = function.name.filter(|name| !name.is_empty()) {
                call.name = name;
            }
            call.arguments.push_str(function.arguments.as_deref().unwrap_or_default());
        }
    }

    /// The last check: a response without a choice is no answer. A refusal in
    /// its own field is what the product answered where there is no other text.
    pub(super) fn complete(mut self) -> Result<Self, Failure> {
        if !self.chosen {
            return Err(Failure::Malformed("it has no choices".into()));
        }
        if self.text.is_empty() {
            self.text = std::mem::take(&mut self.refusal);
        }
        Ok(self)
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn usage(reported: &Value) -> Usage {
    let count = |pointer| reported.pointer(pointer).and_then(Value::as_u64);
    Usage {
        input: count("/prompt_tokens"),
        output: count("/completion_tokens"),
        cached_input: count("/prompt_tokens_details/cached_tokens"),
        cache_write_input: None,
        reasoning: count("/completion_tokens_details/reasoning_tokens"),
    }
}

/// What an error's body says, in the shapes that are common, else all of it.
pub(super) fn error_text(body: &[u8]) -> String {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => error_message(&value),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    }
}

fn error_message(value: &Value) -> String {
    ["/error/message", "/error", "/message", "/detail"]
        .iter()
        .find_map(|pointer| value.pointer(pointer).and_then(Value::as_str))
        .map_or_else(|| value.get("error").unwrap_or(value).to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn assembled(pieces: &[Value]) -> Assembly {
        let mut assembly = Assembly::default();
        for piece in pieces {
            assembly.take(piece.to_string().as_bytes()).expect("a piece");
        }
        assembly.complete().expect("an answer")
    }

    fn delta(delta: Value) -> Value {
        json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
    }

    fn call(part: Value) -> Value {
        delta(json!({ "tool_calls": [part] }))
    }

    fn calls(pieces: &[Value]) -> Vec<(Option<String>, String, String)> {
        let calls = assembled(pieces).tool_calls.into_iter();
        calls.map(|call| (call.id, call.name, call.arguments)).collect()
    }

    #[test]
    fn joins_the_parts_of_calls_by_their_index() {
        let pieces = [
            call(json!({ "index": 0, "id": "a", "function": { "name": "look", "arguments": "" } })),
            call(json!({ "index": 0, "function": { "arguments": "{\"x\":" } })),
            call(json!({ "index": 1, "id": "b", "function": { "name": "ask", "arguments": "{}" } })),
            call(json!({ "index": 0, "function": { "arguments": "1}" } })),
        ];
        assert_eq!(
            calls(&pieces),
            [
                (Some("a".into()), "look".into(), "{\"x\":1}".into()),
                (Some("b".into()), "ask".into(), "{}".into()),
            ]
        );
    }

    #[test]
    fn tells_calls_apart_by_id_where_all_have_one_index_or_none() {
        for index in [json!(0), Value::Null] {
            let part = |id: Value, arguments: &str| {
                call(json!({ "index": index, "id": id, "function": { "name": "f", "arguments": arguments } }))
            };
            let pieces = [part(json!("a"), "1"), part(Value::Null, "2"), part(json!("b"), "3")];
            assert_eq!(
                calls(&pieces),
                [(Some("a".into()), "f".into(), "12".into()), (Some("b".into()), "f".into(), "3".into())]
            );
        }
    }

    #[test]
    fn counts_reasoning_as_a_token_and_a_role_as_none() {
        let mut assembly = Assembly::default();
        let mut brought = |piece: Value| match assembly.take(piece.to_string().as_bytes()) {
            Ok(Piece::Part(brought)) => brought,
            other => panic!("{other:?}"),
        };
        assert_eq!(brought(delta(json!({ "role": "assistant", "content": "" }))), Brought::Nothing);
        assert_eq!(brought(delta(json!({ "content": null, "reasoning_content": "" }))), Brought::Nothing);
        assert_eq!(brought(delta(json!({ "reasoning_content": "hm" }))), Brought::Token);
        assert_eq!(brought(delta(json!({ "reasoning": "hm" }))), Brought::Token);
        assert_eq!(brought(delta(json!({ "content": [{ "type": "thinking" }] }))), Brought::Token);
        assert_eq!(brought(delta(json!({ "content": [{ "type": "text", "text": "a" }] }))), Brought::Token);
        assert_eq!(brought(json!({ "choices": [], "usage": { "prompt_tokens": 3 } })), Brought::Nothing);
        let answer = assembly.complete().expect("an answer");
        assert_eq!((answer.text.as_str(), answer.usage.input, answer.usage.output), ("a", Some(3), None));
    }

    #[test]
    fn a_refusal_is_the_answer_where_there_is_no_other() {
        let answer =
            assembled(&[json!({ "choices": [{ "message": { "content": null, "refusal": "no" } }] })]);
        assert_eq!(answer.text, "no");
    }

    #[test]
    fn a_response_without_a_choice_is_no_answer() {
        let mut assembly = Assembly::default();
        assembly.take(br#"{"object":"list","data":[]}"#).expect("JSON");
        assert_eq!(assembly.complete().expect_err("empty"), Failure::Malformed("it has no choices".into()));
    }

    #[test]
    fn reads_an_error_in_the_shapes_that_are_common() {
        let cases: [(&[u8], &str); 6] = [
            (br#"{"error":{"message":"no such model"}}"#, "no such model"),
            (br#"{"error":"no such model"}"#, "no such model"),
            (br#"{"object":"error","message":"no such model"}"#, "no such model"),
            (br#"{"detail":"no such model"}"#, "no such model"),
            (
                br#"{"detail":[{"loc":["body","stream_options"]}]}"#,
                r#"{"detail":[{"loc":["body","stream_options"]}]}"#,
            ),
            (b"<h1>no such model</h1>", "<h1>no such model</h1>"),
        ];
        for (body, message) in cases {
            assert_eq!(error_text(body), message);
        }
    }
}
