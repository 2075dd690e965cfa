//! Reference sets: named lists of questions with their expected answers, and
//! the answers that were recorded for them. A version never changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::digest::Digest;
use super::ids::ReferenceSetId;
use super::interaction::{Answer, Document, Item, Message, Part, Timing, ToolCall, Usage};

/// The recording that a line's own `actual` belongs to.
pub const DEFAULT_RECORDING: &str = "default";

/// A reference set across its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ReferenceSet {
    /// Id.
    pub id: ReferenceSetId,
    /// Name, unique.
    pub name: String,
    /// When its first version was made.
    pub created_at: Timestamp,
    /// Its versions, oldest first.
    pub versions: Vec<Version>,
}

/// One version of a reference set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Version {
    /// 1 for the first.
    pub number: u32,
    /// Digest of its lines.
    pub content_hash: Digest,
    /// Where it came from, for people.
    pub provenance: String,
    /// How many items.
    pub items: u64,
    /// Names of the recordings that it holds answers of.
    pub recordings: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One line of a reference set: a question and the answers recorded for it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    /// The client's stable name of the item; its line number where it is missing.
    pub key: Option<String>,
    query: String,
    query_media: Vec<Part>,
    #[serde(deserialize_with = "one_or_many")]
    expected: Vec<String>,
    history: Vec<Message>,
    documents: Vec<Document>,
    request_class: Option<String>,
    template: Option<String>,
    template_version: Option<String>,
    metadata: BTreeMap<String, String>,
    extra: Option<serde_json::Map<String, serde_json::Value>>,
    actual: Option<String>,
    actual_media: Vec<Part>,
    tool_calls: Vec<ToolCall>,
    timing: Timing,
    usage: Usage,
    model: Option<String>,
    finish_reason: Option<String>,
    error: Option<String>,
    answers: BTreeMap<String, Recorded>,
}

/// What a named recording holds for a line: an answer, or several (trials).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Recorded {
    Text(String),
    Whole(Box<Answer>),
    Trials(Vec<RecordedTrial>),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum RecordedTrial {
    Text(String),
    Whole(Box<Answer>),
}

/// A line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {reason}")]
pub struct LineError {
    /// 1 for the first.
    pub number: u64,
    /// What is wrong.
    pub reason: String,
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Expected {
        One(String),
        Many(Vec<String>),
        None(()),
    }
    Ok(match Expected::deserialize(deserializer)? {
        Expected::One(text) => vec![text],
        Expected::Many(texts) => texts,
        Expected::None(()) => Vec::new(),
    })
}

fn text(actual: String) -> Answer {
    Answer { actual, ..Answer::default() }
}

impl Line {
    /// Reads a JSON line.
    pub fn parse(line: &str, number: u64) -> Result<Self, LineError> {
        let refused = |reason: String| LineError { number, reason };
        let line: Self = serde_json::from_str(line).map_err(|error| refused(error.to_string()))?;
        if line.query.is_empty() && line.query_media.is_empty() && line.history.is_empty() {
            return Err(refused("no `query`".into()));
        }
        if line.answers.contains_key(DEFAULT_RECORDING) && line.has_own_answer() {
            return Err(refused(format!("both `actual` and `answers.{DEFAULT_RECORDING}`")));
        }
        if line.key.as_deref() == Some("") {
            return Err(refused("`key` is empty".into()));
        }
        Ok(line)
    }

    fn has_own_answer(&self) -> bool {
        self.actual.is_some() || self.error.is_some() || !self.actual_media.is_empty()
    }

    /// Takes the line apart: the question, and (recording, trial, answer) each.
    pub fn into_parts(self) -> (Item, Vec<(String, u32, Answer)>) {
        let own = self.has_own_answer();
        let mut answers = Vec::new();
        if own {
            let answer = Answer {
                actual: self.actual.unwrap_or_default(),
                actual_media: self.actual_media,
                documents: Vec::new(),
                tool_calls: self.tool_calls,
                timing: self.timing,
                usage: self.usage,
                model: self.model,
                finish_reason: self.finish_reason,
                error: self.error,
            };
            answers.push((DEFAULT_RECORDING.to_owned(), 0, answer));
        }
        for (recording, recorded) in self.answers {
            match recorded {
                Recorded::Text(actual) => answers.push((recording, 0, text(actual))),
                Recorded::Whole(answer) => answers.push((recording, 0, *answer)),
                Recorded::Trials(trials) => answers.extend((0..).zip(trials).map(|(trial, recorded)| {
                    let answer = match recorded {
                        RecordedTrial::Text(actual) => text(actual),
                        RecordedTrial::Whole(answer) => *answer,
                    };
                    (recording.clone(), trial, answer)
                })),
            }
        }
        let item = Item {
            query: self.query,
            query_media: self.query_media,
            expected: self.expected,
            history: self.history,
            documents: self.documents,
            request_class: self.request_class,
            template: self.template,
            template_version: self.template_version,
            metadata: self.metadata,
            extra: self.extra,
        };
        (item, answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_one_answer_named_answers_or_trials() {
        let (item, answers) =
            Line::parse(r#"{"query":"q","expected":"e","actual":"a"}"#, 1).expect("valid").into_parts();
        assert_eq!(item.expected, ["e"]);
        assert_eq!(answers, [("default".to_owned(), 0, text("a".into()))]);
        let (_, answers) =
            Line::parse(r#"{"query":"q","answers":{"a":"one","b":["x",{"actual":"y","model":"m"}]}}"#, 1)
                .expect("valid")
                .into_parts();
        let names: Vec<_> = answers.iter().map(|(name, trial, _)| (name.as_str(), *trial)).collect();
        assert_eq!(names, [("a", 0), ("b", 0), ("b", 1)]);
        assert_eq!(answers[2].2.model.as_deref(), Some("m"));
    }

    #[test]
    fn a_bad_line_is_refused_with_its_number_and_reason() {
        for (line, reason) in [
            ("{", "EOF"),
            ("{}", "no `query`"),
            (r#"{"query":"q","qeury":"q"}"#, "`qeury`"),
            (r#"{"query":"q","actual":"a","answers":{"default":"b"}}"#, "both `actual`"),
            (r#"{"query":"q","key":""}"#, "`key` is empty"),
        ] {
            let error = Line::parse(line, 7).expect_err(line).to_string();
            assert!(error.starts_with("line 7: ") && error.contains(reason), "{error}");
        }
    }
}
