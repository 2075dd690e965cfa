//! Reads messages that come as JSON text: those of the GenAI conventions
//! (`parts`) and those of the chat API that older instrumentations pass on
//! (`content`, `tool_calls`).
//!
//! What a message holds is read part by part, so that a part of an unknown
//! type costs itself only. Reasoning is no answer and is left out.

use serde_json::value::RawValue;

use super::raw::{Parts, RawCall, RawFile, RawImage, RawMessage, RawPart};
use crate::domain::interaction::{Media, Message, Part, Role, ToolCall};

/// The messages of a JSON list or of one JSON object, with the first reason
/// that one of them gives for the model's stop. None where it is neither.
pub(super) fn list(text: &str, role: Role) -> Option<(Vec<Message>, Option<String>)> {
    let raw: Vec<RawMessage<'_>> = match text.trim_start().as_bytes().first()? {
        b'[' => serde_json::from_str(text).ok()?,
        b'{' => vec![serde_json::from_str(text).ok()?],
        _ => return None,
    };
    let mut messages = Vec::with_capacity(raw.len());
    let mut stopped = None;
    for mut one in raw {
        stopped = stopped.or_else(|| one.finish_reason.0.take());
        one.into_messages(role, &mut messages);
    }
    Some((messages, stopped))
}

/// The parts of system instructions: a JSON list of parts or of texts, or text.
pub(super) fn instructions(text: String) -> Vec<Part> {
    if !text.trim_start().starts_with('[') {
        return vec![Part::Text { text }];
    }
    match serde_json::from_str::<Parts<'_>>(&text) {
        Ok(parts) => parts
            .0
            .into_iter()
            .filter_map(|part| match Piece::of(part) {
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
    let call = id.map(|id| call_of(Some(id), name.clone(), None));
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

fn call_of(id: Option<String>, name: Option<String>, arguments: Option<String>) -> ToolCall {
    ToolCall {
        id,
        name: name.unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
        output: None,
        error: None,
    }
}

impl RawMessage<'_> {
    /// One message, after those of the tools whose answers stand in it.
    fn into_messages(self, otherwise: Role, messages: &mut Vec<Message>) {
        let role = role(self.role.0.as_deref(), otherwise);
        let name = self.name.0;
        let mut parts = Vec::new();
        let mut tool_calls = Vec::new();
        let calls = self.tool_calls.map(|raw| serde_json::from_str::<Vec<RawCall<'_>>>(raw.get()));
        for call in calls.and_then(Result::ok).into_iter().flatten() {
            let function = call.function.unwrap_or_default();
            tool_calls.push(call_of(call.id.0, function.name.0, function.arguments.and_then(text_of)));
        }
        let holder = if self.parts.0.is_empty() { self.content } else { self.parts };
        for part in holder.0 {
            match Piece::of(part) {
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
                messages.push(result(self.tool_call_id.0.or(self.id.0), name, parts));
            }
        } else if !parts.is_empty() || !tool_calls.is_empty() {
            messages.push(Message { role, name, parts, tool_calls });
        }
    }
}

/// One part of a message, by what it is for us.
enum Piece {
    Part(Part),
    Call(ToolCall),
    Result(Option<String>, Option<String>),
    Nothing,
}

impl Piece {
    fn of(part: RawPart<'_>) -> Self {
        let raw = |raw: Option<&RawValue>| raw.and_then(text_of);
        match part.kind.0.as_deref() {
            Some("text" | "input_text" | "output_text" | "refusal") | None => {
                part.content.0.or(part.text.0).map_or(Self::Nothing, |text| Self::Part(Part::Text { text }))
            }
            Some("tool_call") => Self::Call(call_of(part.id.0, part.name.0, raw(part.arguments))),
            Some("server_tool_call") => {
                Self::Call(call_of(part.id.0, part.name.0, raw(part.server_tool_call)))
            }
            Some("tool_call_response" | "server_tool_call_response") => {
                let output = part.response.or(part.result).or(part.server_tool_call_response);
                Self::Result(part.id.0, raw(output))
            }
            Some("uri") => Self::media(part.uri.0, None, part.mime_type.0, part.modality.0),
            Some("file") => match part.file {
                Some(file) => {
                    let file: RawFile = serde_json::from_str(file.get()).unwrap_or_default();
                    Self::media(file.file_id.0.or(file.file_data.0), file.filename.0, None, None)
                }
                None => Self::media(part.file_id.0, None, part.mime_type.0, part.modality.0),
            },
            Some("blob") => {
                let media_type = part.mime_type.0;
                let place = part.content.0.map(|data| {
                    format!(
                        "data:{};base64,{data}",
                        media_type.as_deref().unwrap_or("application/octet-stream")
                    )
                });
                Self::media(place, None, media_type, part.modality.0)
            }
            Some("image_url" | "input_image") => {
                let place = part.image_url.and_then(|image| {
                    serde_json::from_str::<RawImage>(image.get())
                        .map_or_else(|_| text_of(image), |image| image.url.0)
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
