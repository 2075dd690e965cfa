//! Replies that have to fit a schema.
//!
//! Schemas are the plugin's, and a few kilobytes of one can keep a validator
//! busy for years: that is why this is done here and not in the daemon. Models
//! put their JSON into fences and sentences, so it is looked for there too.

use std::collections::HashMap;

use jsonschema::Validator;
use serde_json::Value;

use crate::domain::interaction::{Message, Part, Role};
use crate::domain::judge::JudgeRequest;
use crate::domain::plugin::shortened;

/// Problems of one reply that the model is told.
const PROBLEMS_MAX: usize = 5;
const PROBLEM_BYTES_MAX: usize = 300;
/// Of a wrong reply, what is shown to the model again.
const WRONG_REPLY_BYTES_MAX: usize = 8 << 10;

/// The schemas of one batch, each compiled once.
#[derive(Default)]
pub struct Schemas {
    compiled: HashMap<String, Result<Validator, String>>,
}

impl Schemas {
    /// The JSON in a reply that fits the schema, or what is wrong with it.
    pub fn read<'a>(&mut self, schema: &str, reply: &'a str) -> Result<&'a str, String> {
        if !self.compiled.contains_key(schema) {
            self.compiled.insert(schema.to_owned(), compile(schema));
        }
        let validator = self.compiled[schema].as_ref().map_err(Clone::clone)?;
        let (text, value) = json_in(reply).ok_or("it holds no JSON")?;
        let problems: Vec<_> = validator
            .iter_errors(&value)
            .take(PROBLEMS_MAX)
            .map(|error| {
                let told = shortened(error.to_string(), PROBLEM_BYTES_MAX);
                match error.instance_path().as_str() {
                    "" => told,
                    path => format!("`{path}`: {told}"),
                }
            })
            .collect();
        if problems.is_empty() { Ok(text) } else { Err(problems.join("; ")) }
    }
}

fn compile(schema: &str) -> Result<Validator, String> {
    let schema: Value =
        serde_json::from_str(schema).map_err(|error| format!("the plugin's schema is not JSON: {error}"))?;
    jsonschema::validator_for(&schema)
        .map_err(|error| shortened(format!("the plugin's schema is wrong: {error}"), PROBLEM_BYTES_MAX))
}

/// The reply itself where it is JSON, else what stands in its last fence, else
/// what lies between its first and last brace.
fn json_in(reply: &str) -> Option<(&str, Value)> {
    let fenced =
        reply.rsplit_once("```").and_then(|(before, _)| before.rsplit_once("```")).map(|(_, inside)| {
            inside.strip_prefix("json").or_else(|| inside.strip_prefix("JSON")).unwrap_or(inside)
        });
    let braces = match (reply.find('{'), reply.rfind('}')) {
        (Some(first), Some(last)) if first < last => Some(&reply[first..=last]),
        _ => None,
    };
    [Some(reply), fenced, braces].into_iter().flatten().map(str::trim).find_map(|text| {
        let value = serde_json::from_str::<Value>(text).ok()?;
        Some((text, value))
    })
}

/// The request that tells the model what was wrong with its reply.
pub fn repair(request: &JudgeRequest, reply: &str, wrong: &str) -> Option<JudgeRequest> {
    let mut messages: Vec<Message> = serde_json::from_str(&request.messages_json).ok()?;
    let message =
        |role, text| Message { role, name: None, parts: vec![Part::Text { text }], tool_calls: Vec::new() };
    messages.push(message(Role::Assistant, shortened(reply.to_owned(), WRONG_REPLY_BYTES_MAX)));
    messages.push(message(
        Role::User,
        format!(
            "That reply cannot be used: {wrong}. Reply again with nothing but one JSON value that fits the schema."
        ),
    ));
    Some(JudgeRequest {
        messages_json: serde_json::to_string(&messages).expect("messages are plain JSON"),
        ..request.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str =
        r#"{"type":"object","properties":{"points":{"type":"integer","maximum":2}},"required":["points"]}"#;

    #[test]
    fn json_is_found_alone_in_a_fence_and_between_words() {
        let mut schemas = Schemas::default();
        for reply in [
            r#"{"points":2}"#,
            "Sure!\n```json\n{\"points\":2}\n```\nAnything else?",
            "```\n{\"points\":2}\n```",
            r#"The verdict is {"points":2}."#,
        ] {
            assert_eq!(schemas.read(SCHEMA, reply), Ok(r#"{"points":2}"#), "{reply}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let mut schemas = Schemas::default();
        let wrong = |schemas: &mut Schemas, reply| schemas.read(SCHEMA, reply).expect_err("wrong");
        assert_eq!(wrong(&mut schemas, "I cannot help with that."), "it holds no JSON");
        assert_eq!(wrong(&mut schemas, r#"{"points":2"#), "it holds no JSON");
        assert!(wrong(&mut schemas, r#"{"points":3}"#).contains("`/points`"));
        assert!(wrong(&mut schemas, "{}").contains("points"));
        assert!(schemas.read("{", "{}").expect_err("no schema").contains("the plugin's schema"));
    }

    #[test]
    fn a_repair_goes_on_with_the_conversation() {
        let request = JudgeRequest {
            profile: "p".into(),
            interaction_id: Some("1".into()),
            messages_json: r#"[{"role":"user","parts":[{"type":"text","text":"judge"}]}]"#.into(),
            schema_json: Some(SCHEMA.into()),
            output_tokens_max: None,
            temperature: Some(0.0),
        };
        let repaired = repair(&request, "no", "it holds no JSON").expect("messages can be read");
        let messages: Vec<Message> = serde_json::from_str(&repaired.messages_json).expect("messages");
        assert_eq!(
            messages.iter().map(|message| message.role).collect::<Vec<_>>(),
            [Role::User, Role::Assistant, Role::User]
        );
        assert_eq!((repaired.interaction_id, repaired.temperature), (Some("1".into()), Some(0.0)));
    }
}
