//! What is sent to an endpoint and read from it, in each of the two interfaces.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{JudgeApi, Profile, StructuredOutput};
use crate::domain::interaction::{Message, Part, Role, Usage};
use crate::domain::judge::JudgeRequest;
use crate::targets::{Again, Completion, Failure, Fault, chat_messages};

/// The tool that a reply has to use where it must fit a schema.
const REPLY_TOOL: &str = "reply";

/// What an endpoint does not understand; found out by asking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dialect {
    /// The limit is called `max_completion_tokens`.
    pub completion_limit: bool,
    /// It takes no temperature.
    pub no_temperature: bool,
}

impl Dialect {
    /// What to change after a refusal, if anything.
    pub fn after_refusal(self, failure: &Failure) -> Option<Self> {
        let Failure::Status { status: 400 | 422, message } = failure else { return None };
        if !self.completion_limit && message.contains("max_completion_tokens") {
            return Some(Self { completion_limit: true, ..self });
        }
        if !self.no_temperature && message.contains("temperature") {
            return Some(Self { no_temperature: true, ..self });
        }
        None
    }
}

/// The request's body, with every parameter that the profile or the plugin
/// gives.
pub fn body(profile: &Profile, request: &JudgeRequest, messages: &[Message]) -> Result<String, String> {
    let schema = match &request.schema_json {
        Some(schema) => Some(
            serde_json::from_str::<Value>(schema)
                .map_err(|error| format!("the schema is not JSON: {error}"))?,
        ),
        None => None,
    };
    let mut body = match profile.api {
        JudgeApi::OpenaiChat => openai(profile, messages, schema)?,
        JudgeApi::AnthropicMessages => anthropic(profile, messages, schema)?,
    };
    let asked = request.output_tokens_max.unwrap_or(profile.output_tokens_max);
    body.insert("max_tokens".into(), json!(asked.min(profile.output_tokens_max)));
    if let Some(temperature) = request.temperature.or(profile.temperature) {
        if !temperature.is_finite() {
            return Err("the temperature is not a number".into());
        }
        body.insert("temperature".into(), json!(temperature));
    }
    Ok(Value::Object(body).to_string())
}

/// The body as this endpoint understands it.
pub fn in_dialect(body: &str, dialect: Dialect) -> String {
    if dialect == Dialect::default() {
        return body.to_owned();
    }
    let mut fields: Map<String, Value> = serde_json::from_str(body).expect("it was written a moment ago");
    if dialect.completion_limit
        && let Some(limit) = fields.remove("max_tokens")
    {
        fields.insert("max_completion_tokens".into(), limit);
    }
    if dialect.no_temperature {
        fields.remove("temperature");
    }
    Value::Object(fields).to_string()
}

fn openai(
    profile: &Profile,
    messages: &[Message],
    schema: Option<Value>,
) -> Result<Map<String, Value>, String> {
    let mut sent = chat_messages(messages).map_err(|error| error.to_string())?;
    let mut body = Map::new();
    body.insert("model".into(), json!(profile.model));
    if let Some(schema) = schema {
        match profile.structured_output {
            StructuredOutput::Schema => {
                let format = json!({ "name": REPLY_TOOL, "schema": schema });
                body.insert(
                    "response_format".into(),
                    json!({ "type": "json_schema", "json_schema": format }),
                );
            }
            StructuredOutput::JsonSchema => {
                body.insert("response_format".into(), json!({ "type": "json_object", "schema": schema }));
            }
            StructuredOutput::Json => {
                sent.push(json!({ "role": "user", "content": told(&schema) }));
                body.insert("response_format".into(), json!({ "type": "json_object" }));
            }
            StructuredOutput::Prompt => sent.push(json!({ "role": "user", "content": told(&schema) })),
        }
    }
    body.insert("messages".into(), json!(sent));
    body.insert("stream".into(), json!(false));
    Ok(body)
}

fn told(schema: &Value) -> String {
    format!("Reply with nothing but one JSON value that fits this JSON Schema:\n{schema}")
}

fn anthropic(
    profile: &Profile,
    messages: &[Message],
    schema: Option<Value>,
) -> Result<Map<String, Value>, String> {
    let mut system = Vec::new();
    let mut sent: Vec<Value> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let content = message
            .parts
            .iter()
            .map(anthropic_part)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|reason| format!("message {index}: {reason}"))?;
        let role = match message.role {
            Role::System => {
                system.extend(content);
                continue;
            }
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => return Err(format!("message {index}: a tool's message cannot be sent to a judge")),
        };
        sent.push(json!({ "role": role, "content": content }));
    }
    let mut body = Map::new();
    body.insert("model".into(), json!(profile.model));
    if let Some(schema) = schema {
        match profile.structured_output {
            StructuredOutput::Schema | StructuredOutput::JsonSchema => {
                body.insert("tools".into(), json!([{ "name": REPLY_TOOL, "input_schema": schema }]));
                body.insert("tool_choice".into(), json!({ "type": "tool", "name": REPLY_TOOL }));
            }
            StructuredOutput::Json | StructuredOutput::Prompt => {
                sent.push(json!({ "role": "user", "content": told(&schema) }));
            }
        }
    }
    if !system.is_empty() {
        body.insert("system".into(), json!(system));
    }
    body.insert("messages".into(), json!(sent));
    Ok(body)
}

fn anthropic_part(part: &Part) -> Result<Value, String> {
    match part {
        Part::Text { text } => Ok(json!({ "type": "text", "text": text })),
        Part::Image(media) => Ok(json!({ "type": "image", "source": { "type": "url", "url": media.uri } })),
        Part::File(_) => Err("a file cannot be sent to a judge".into()),
    }
}

/// Reads a response's body.
pub fn read(api: JudgeApi, body: &[u8]) -> Result<Completion, Fault> {
    match api {
        JudgeApi::OpenaiChat => Completion::read(body),
        JudgeApi::AnthropicMessages => read_anthropic(body),
    }
}

#[derive(Deserialize)]
struct AnthropicReply {
    content: Vec<Block>,
    model: Option<String>,
    stop_reason: Option<String>,
    usage: Option<AnthropicUsage>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    input: Option<Value>,
}

/// Here input does not count what was cached.
#[derive(Deserialize)]
struct AnthropicUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

fn read_anthropic(body: &[u8]) -> Result<Completion, Fault> {
    let reply: AnthropicReply = serde_json::from_slice(body)
        .map_err(|error| Failure::Malformed(format!("not a message: {error}")))?;
    let used = reply.content.iter().find_map(|block| block.input.as_ref());
    let text = match used {
        Some(input) => input.to_string(),
        None => reply
            .content
            .iter()
            .filter(|block| block.kind == "text")
            .filter_map(|block| block.text.as_deref())
            .collect(),
    };
    let usage = reply.usage.map(|usage| Usage {
        input: usage.input_tokens.map(|input| {
            input
                + usage.cache_read_input_tokens.unwrap_or_default()
                + usage.cache_creation_input_tokens.unwrap_or_default()
        }),
        output: usage.output_tokens,
        cached_input: usage.cache_read_input_tokens,
        cache_write_input: usage.cache_creation_input_tokens,
        reasoning: None,
    });
    Ok(Completion {
        text,
        usage: usage.unwrap_or_default(),
        model: reply.model,
        finish_reason: reply.stop_reason,
    })
}

/// Whether asking again may help, and how long the endpoint wants to be left
/// alone. Anthropic's 529 (overloaded) passes as well.
pub fn again(fault: &Fault) -> Option<Option<std::time::Duration>> {
    match (&fault.again, &fault.failure) {
        (Again::Wait(wait), _) => Some(*wait),
        (_, Failure::Status { status: 529, .. } | Failure::Malformed(_)) => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(api: &str, structured: &str) -> Profile {
        toml::from_str(&format!(
            "api = \"{api}\"\nbase_url = \"http://127.0.0.1:1\"\nmodel = \"m\"\n\
             structured_output = \"{structured}\"\noutput_tokens_max = 100"
        ))
        .expect("a profile")
    }

    fn request() -> JudgeRequest {
        JudgeRequest {
            profile: "p".into(),
            interaction_id: None,
            messages_json: String::new(),
            schema_json: Some(r#"{"type":"object"}"#.into()),
            output_tokens_max: Some(500),
            temperature: Some(0.0),
        }
    }

    fn messages() -> Vec<Message> {
        let message = |role, text: &str| Message {
            role,
            name: None,
            parts: vec![Part::Text { text: text.into() }],
            tool_calls: Vec::new(),
        };
        vec![message(Role::System, "be strict"), message(Role::User, "judge this")]
    }

    fn sent(api: &str, structured: &str) -> Value {
        let body = body(&profile(api, structured), &request(), &messages()).expect("it can be sent");
        serde_json::from_str(&body).expect("JSON")
    }

    #[test]
    fn the_profile_caps_what_the_plugin_asks_for() {
        let sent = sent("openai-chat", "schema");
        assert_eq!(
            (&sent["max_tokens"], &sent["temperature"], &sent["stream"]),
            (&json!(100), &json!(0.0), &json!(false))
        );
        assert_eq!(sent["response_format"]["json_schema"]["schema"], json!({ "type": "object" }));
        assert_eq!(sent["messages"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn where_the_endpoint_has_no_schemas_the_model_is_told() {
        for structured in ["json", "prompt"] {
            let sent = sent("openai-chat", structured);
            let last = sent["messages"][2]["content"].as_str().expect("a third message").to_owned();
            assert!(last.contains(r#"{"type":"object"}"#), "{last}");
            assert_eq!(sent.get("response_format").is_some(), structured == "json");
        }
        let older = sent("openai-chat", "json-schema");
        assert_eq!(
            older["response_format"],
            json!({ "type": "json_object", "schema": { "type": "object" } })
        );
    }

    #[test]
    fn anthropic_has_the_system_prompt_apart_and_a_tool_for_the_schema() {
        let sent = sent("anthropic-messages", "schema");
        assert_eq!(sent["system"][0]["text"], "be strict");
        assert_eq!(
            sent["messages"],
            json!([{ "role": "user", "content": [{ "type": "text", "text": "judge this" }] }])
        );
        assert_eq!(sent["tool_choice"]["name"], sent["tools"][0]["name"]);
        let reply = json!({
            "model": "m-1", "stop_reason": "tool_use",
            "content": [{ "type": "text", "text": "let me see" }, { "type": "tool_use", "input": { "points": 1 } }],
            "usage": { "input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5 },
        });
        let read = read(JudgeApi::AnthropicMessages, reply.to_string().as_bytes()).expect("a reply");
        assert_eq!(
            (read.text.as_str(), read.usage.input, read.usage.cached_input),
            (r#"{"points":1}"#, Some(100), Some(90))
        );
    }

    #[test]
    fn an_endpoint_is_asked_in_the_dialect_that_it_asked_for() {
        let refused = |message: &str| Failure::Status { status: 400, message: message.into() };
        let learnt = Dialect::default()
            .after_refusal(&refused("use 'max_completion_tokens' instead"))
            .and_then(|dialect| dialect.after_refusal(&refused("'temperature' does not support 0")))
            .expect("two things were learnt");
        let body: Value =
            serde_json::from_str(&in_dialect(r#"{"max_tokens":5,"temperature":0.0}"#, learnt)).expect("JSON");
        assert_eq!(body, json!({ "max_completion_tokens": 5 }));
        assert_eq!(learnt.after_refusal(&refused("temperature")), None);
    }
}
