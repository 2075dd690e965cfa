//! Reads messages that come as JSON text: those of the GenAI conventions
//! (`parts`) and those of the chat API that older instrumentations pass on
//! (`content`, `tool_calls`).
//!
//! What a message holds is read part by part, so that a part of an unknown
//! type costs itself only. Reasoning is no answer and is left out.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::interaction::{Media, Message, Part, Role, ToolCall};

/// The messages of a JSON list or of one JSON object, with the first reason
/// that one of them gives for the model's stop. None where it is neither.
pub(super) fn list(text: &str, role: Role) -> Option<(Vec<Message>, Option<String>)> {
    let raw: Vec<Raw<'_>> = match text.trim_start().as_bytes().first()? {
        b'[' => serde_json::from_str(text).ok()?,
        b'{' => vec![serde_json::from_str(text).ok()?],
        _ => return None,
    };
    let mut messages = Vec::with_capacity(raw.len());
    let mut stopped = None;
    for mut one in raw {
        stopped = stopped.or_else(|| one.finish_reason.take());
        one.into_messages(role, &mut messages);
    }
    Some((messages, stopped))
}

/// The parts of system instructions: a JSON list of parts or of texts, or text.
pub(super) fn instructions(text: String) -> Vec<Part> {
    match serde_json::from_str::<Vec<&RawValue>>(&text) {
        Ok(list) => list
            .into_iter()
            .filter_map(|raw| match Piece::read(raw) {
                Piece::Part(part) => Some(part),
                _ => None,
            })
            .collect(),
        Err(_) => vec![Part::Text { text }],
    }
}

/// A message with one text.
pub(super) fn plain(role: Role, text: String) -> Message {
    Message { role, name: None, parts: vec![Part::Text { text }], tool_calls: Vec::new() }
}

/// What a tool answered, as a message that names the call. It stands between
/// reading and [`super::content::fold_results`].
pub(super) fn result(id: Option<String>, name: Option<String>, parts: Vec<Part>) -> Message {
    let call = id.map(|id| ToolCall {
        id: Some(id),
        name: name.clone().unwrap_or_default(),
        arguments: String::new(),
        output: None,
        error: None,
    });
    Message { role: Role::Tool, name, parts, tool_calls: call.into_iter().collect() }
}

/// Who a message's role names; the given one where it names nobody known.
pub(super) fn role(name: Option<&str>, otherwise: Role) -> Role {
    match name {
        Some("user" | "human") => Role::User,
        Some("assistant" | "ai" | "model") => Role::Assistant,
        Some("system" | "developer") => Role::System,
        Some("tool" | "function") => Role::Tool,
        _ => otherwise,
    }
}

/// JSON text of any value; a string's own text, and nothing for null.
pub(super) fn text_of(raw: &RawValue) -> Option<String> {
    match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok(),
        b'n' => None,
        _ => Some(raw.get().to_owned()),
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    parts: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<RawCall<'a>>>,
    #[serde(borrow, default)]
    tool_call_id: Option<&'a RawValue>,
    /// The call that a tool's message answers, in the older events.
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct RawCall<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    function: Option<RawFunction<'a>>,
}

#[derive(Deserialize)]
struct RawFunction<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl Raw<'_> {
    /// One message, after those of the tools whose answers stand in it.
    fn into_messages(self, otherwise: Role, messages: &mut Vec<Message>) {
        let text = |raw: Option<&RawValue>| raw.and_then(text_of);
        let role = role(self.role.as_deref(), otherwise);
        let name = text(self.name);
        let mut parts = Vec::new();
        let mut tool_calls = Vec::new();
        for call in self.tool_calls.into_iter().flatten() {
            let (name, arguments) = call.function.map_or((None, None), |f| (text(f.name), text(f.arguments)));
            tool_calls.push(call_of(text(call.id), name, arguments));
        }
        let pieces = match (self.parts, self.content) {
            (Some(parts), _) => parts,
            (None, Some(content)) if content.get().starts_with('[') => {
                serde_json::from_str(content.get()).unwrap_or_default()
            }
            (None, content) => content.into_iter().collect(),
        };
        for piece in pieces {
            match Piece::read(piece) {
                Piece::Part(part) => parts.push(part),
                Piece::Call(call) => tool_calls.push(call),
                Piece::Result(id, output) => {
                    messages.push(result(
                        id,
                        None,
                        output.map(|text| Part::Text { text }).into_iter().collect(),
                    ));
                }
                Piece::Nothing => {}
            }
        }
        if role == Role::Tool {
            if !parts.is_empty() {
                messages.push(result(text(self.tool_call_id).or(text(self.id)), name, parts));
            }
        } else if !parts.is_empty() || !tool_calls.is_empty() {
            messages.push(Message { role, name, parts, tool_calls });
        }
    }
}

fn call_of(id: Option<String>, name: Option<String>, arguments: Option<String>) -> ToolCall {
    ToolCall {
        id,
        name: name.unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
        output: None,
        error: None,
    }
}

/// One part of a message, by what it is for us.
enum Piece {
    Part(Part),
    Call(ToolCall),
    Result(Option<String>, Option<String>),
    Nothing,
}

#[derive(Deserialize)]
struct RawPart<'a> {
    #[serde(rename = "type", default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    server_tool_call: Option<&'a RawValue>,
    #[serde(borrow, default)]
    server_tool_call_response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    file_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    mime_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    modality: Option<&'a RawValue>,
    #[serde(borrow, default)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    file: Option<RawFile<'a>>,
}

#[derive(Deserialize)]
struct RawFile<'a> {
    #[serde(borrow, default)]
    file_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    filename: Option<&'a RawValue>,
    #[serde(borrow, default)]
    file_data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawUrl<'a> {
    #[serde(borrow)]
    url: &'a RawValue,
}

impl Piece {
    fn read(raw: &RawValue) -> Self {
        if raw.get().starts_with('"') {
            return text_of(raw).map_or(Self::Nothing, |text| Self::Part(Part::Text { text }));
        }
        let Ok(part) = serde_json::from_str::<RawPart<'_>>(raw.get()) else { return Self::Nothing };
        let text = |raw: Option<&RawValue>| raw.and_then(text_of);
        match part.kind.as_deref() {
            Some("text" | "input_text" | "output_text" | "refusal") | None => text(part.content)
                .or_else(|| text(part.text))
                .map_or(Self::Nothing, |text| Self::Part(Part::Text { text })),
            Some("tool_call") => Self::Call(call_of(text(part.id), text(part.name), text(part.arguments))),
            Some("server_tool_call") => {
                Self::Call(call_of(text(part.id), text(part.name), text(part.server_tool_call)))
            }
            Some("tool_call_response" | "server_tool_call_response") => {
                let output = part.response.or(part.result).or(part.server_tool_call_response);
                Self::Result(text(part.id), text(output))
            }
            Some("uri") => Self::media(text(part.uri), None, text(part.mime_type), text(part.modality)),
            Some("file") if part.file.is_some() => {
                let file = part.file.expect("seen to be there");
                let place = text(file.file_id).or_else(|| text(file.file_data));
                Self::media(place, text(file.filename), None, None)
            }
            Some("file") => Self::media(text(part.file_id), None, text(part.mime_type), text(part.modality)),
            Some("blob") => {
                let media_type = text(part.mime_type);
                let place = text(part.content).map(|data| {
                    format!(
                        "data:{};base64,{data}",
                        media_type.as_deref().unwrap_or("application/octet-stream")
                    )
                });
                Self::media(place, None, media_type, text(part.modality))
            }
            Some("image_url" | "input_image") => {
                let place = part.image_url.and_then(|raw| {
                    text_of(serde_json::from_str::<RawUrl<'_>>(raw.get()).map_or(raw, |image| image.url))
                });
                Self::media(place, None, None, Some("image".into()))
            }
            Some(_) => Self::Nothing,
        }
    }

    fn media(
        uri: Option<String>,
        name: Option<String>,
        media_type: Option<String>,
        modality: Option<String>,
    ) -> Self {
        let Some(uri) = uri else { return Self::Nothing };
        let image = modality.as_deref() == Some("image")
            || media_type.as_deref().is_some_and(|kind| kind.starts_with("image/"));
        let media = Media { uri, media_type, name };
        Self::Part(if image { Part::Image(media) } else { Part::File(media) })
    }
}
