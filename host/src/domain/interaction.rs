//! One request to the product's model and its answer, as clients write it in JSON.
//!
//! The fields mirror the contract's `interaction` record. A missing value is
//! missing, never zero. An [`Item`] is the question's side, an [`Answer`] the
//! product's side; together they are an [`Interaction`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::completion::Presence;

/// An interaction. Instants are microseconds UTC, durations microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Interaction {
    /// Text of the last user message.
    pub query: String,
    /// Parts of the last user message that are not text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_media: Vec<Part>,
    /// Text of the answer; empty where there was none.
    pub actual: String,
    /// Parts of the answer that are not text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actual_media: Vec<Part>,
    /// Acceptable answers; empty where none is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<String>,
    /// What came before the query, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Message>,
    /// Documents retrieved for the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Document>,
    /// Tools called between the query and the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// When it started and how long it took.
    pub timing: Timing,
    /// Tokens.
    pub usage: Usage,
    /// The model as the response named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why the model stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The product's own error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Class of the request; none is shown as `unclassified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_class: Option<String>,
    /// Name of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Version of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_version: Option<String>,
    /// The client's own names and values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// A JSON object for what has no field yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The question's side of an interaction: what a reference set keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Item {
    /// Text of the last user message.
    pub query: String,
    /// Parts of the last user message that are not text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_media: Vec<Part>,
    /// Acceptable answers; empty where none is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<String>,
    /// What came before the query, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Message>,
    /// Documents that belong to the question, whoever answers it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Document>,
    /// Class of the request; none is shown as `unclassified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_class: Option<String>,
    /// Name of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Version of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_version: Option<String>,
    /// The client's own names and values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// A JSON object for what has no field yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The product's side of an interaction: recorded, or asked of a target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// Text of the answer; empty where there was none.
    pub actual: String,
    /// Parts of the answer that are not text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actual_media: Vec<Part>,
    /// Documents that the product retrieved; they stand after the item's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Document>,
    /// Tools called between the query and the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// When it started and how long it took.
    #[serde(skip_serializing_if = "is_default")]
    pub timing: Timing,
    /// Tokens.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: Usage,
    /// The model as the response named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why the model stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The product's own error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Item {
    /// The whole interaction.
    pub fn with_answer(self, answer: Answer) -> Interaction {
        let mut documents = self.documents;
        documents.extend(answer.documents);
        Interaction {
            query: self.query,
            query_media: self.query_media,
            actual: answer.actual,
            actual_media: answer.actual_media,
            expected: self.expected,
            history: self.history,
            documents,
            tool_calls: answer.tool_calls,
            timing: answer.timing,
            usage: answer.usage,
            model: answer.model,
            finish_reason: answer.finish_reason,
            error: answer.error,
            request_class: self.request_class,
            template: self.template,
            template_version: self.template_version,
            metadata: self.metadata,
            extra: self.extra,
        }
    }
}

impl Answer {
    /// Whether there is anything to judge: a product that failed, or answered
    /// nothing at all, has not completed its task.
    pub fn presence(&self) -> Presence {
        let empty =
            self.actual.trim().is_empty() && self.actual_media.is_empty() && self.tool_calls.is_empty();
        if self.error.is_some() || empty { Presence::Missing } else { Presence::Given }
    }
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// One part of a message; what is not text is held by reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[expect(missing_docs, reason = "the field's own words")]
pub enum Part {
    Text { text: String },
    Image(Media),
    File(Media),
}

/// Something that is not text, by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Where it lies; never fetched by the host.
    pub uri: String,
    /// MIME type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// File name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who wrote it.
    pub role: Role,
    /// Which of several participants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it holds.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Tools that it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// A call of a tool, with what came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The model's id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the tool.
    pub name: String,
    /// The arguments as the model wrote them: JSON text, not validated.
    #[serde(default)]
    pub arguments: String,
    /// What the tool answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// How the tool failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A retrieved document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The index's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its text.
    pub content: String,
    /// The retriever's own relevance, on its own scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevance: Option<f64>,
}

/// Tokens of one interaction. `input` includes the cached ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the field's own words")]
pub struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_input: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<u64>,
}

/// When an interaction started and how long it took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// Instant of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at_us: Option<i64>,
    /// Until the last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_us: Option<u64>,
    /// Until the first token; only for streamed answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_us: Option<u64>,
    /// Whether the answer was streamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streamed: Option<bool>,
}

/// How the tokens after the first came: of streamed answers of at least two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation {
    tokens: u64,
    us: u64,
}

impl Generation {
    /// None unless the answer was streamed, both times and the number of output
    /// tokens are known, and there is a token after the first.
    pub fn of(timing: &Timing, output_tokens: Option<u64>) -> Option<Self> {
        if timing.streamed != Some(true) {
            return None;
        }
        let tokens = output_tokens?.checked_sub(1)?;
        let us = timing.total_us?.checked_sub(timing.first_token_us?)?;
        (tokens > 0 && us > 0).then_some(Self { tokens, us })
    }

    /// Output tokens a second after the first: (output − 1) / (total − time to
    /// first token).
    pub fn tokens_per_second(self) -> f64 {
        self.tokens as f64 * 1e6 / self.us as f64
    }

    /// Microseconds for each token after the first.
    pub fn time_per_token_us(self) -> f64 {
        self.us as f64 / self.tokens as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_count_is_missing_and_not_zero() {
        let read: Interaction = serde_json::from_str(r#"{"query":"q","actual":"a"}"#).expect("valid");
        assert_eq!(read.usage.cached_input, None);
        assert!(!serde_json::to_string(&read).expect("serialisable").contains("cached_input"));
    }

    #[test]
    fn refuses_a_field_that_it_does_not_know_and_names_it() {
        let error = serde_json::from_str::<Interaction>(r#"{"qeury":"q"}"#).expect_err("misspelt");
        assert!(error.to_string().contains("`qeury`"), "{error}");
    }

    #[test]
    fn a_rate_needs_a_streamed_answer_of_two_tokens() {
        let mut timing = Timing {
            total_us: Some(2_500_000),
            first_token_us: Some(500_000),
            streamed: Some(true),
            ..Timing::default()
        };
        let found = Generation::of(&timing, Some(101)).expect("all is known");
        assert_eq!((found.tokens_per_second(), found.time_per_token_us()), (50.0, 20_000.0));
        for tokens in [None, Some(0), Some(1)] {
            assert_eq!(Generation::of(&timing, tokens), None);
        }
        timing.first_token_us = Some(2_500_001);
        assert_eq!(Generation::of(&timing, Some(101)), None);
        timing.first_token_us = Some(500_000);
        timing.streamed = None;
        assert_eq!(Generation::of(&timing, Some(101)), None);
    }
}
