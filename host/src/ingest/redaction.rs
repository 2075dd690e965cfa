//! Redaction: what must not be stored is replaced before anything is written.

use std::borrow::Cow;

use regex::Regex;

use crate::config::{RedactedField, RedactionRule};
use crate::domain::interaction::{Document, Interaction, Message, Part, Role, ToolCall};
use crate::domain::production::{Event, IncomingScore, Origin};
use crate::ingest::otlp::{Facts, LogFact, LogWhat};

/// The patterns that have a name. A match that its check refuses is left alone.
const NAMED: [(&str, &str, Check); 5] = [
    ("email", r"(?i)[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}", |_| true),
    (
        "phone",
        r"(?:\+|\b00)[1-9](?:[ ().\-/]{0,2}[0-9]){6,14}\b|\(?\b0?[2-9][0-9]{2}\)?[ .\-][0-9]{3}[ .\-][0-9]{4}\b",
        |_| true,
    ),
    ("card", r"\b[0-9](?:[ -]?[0-9]){12,18}\b", has_luhn_checksum),
    ("iban", r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b", has_iban_checksum),
    (
        "key",
        r"(?x) \b(?: sk-[A-Za-z0-9_-]{16,} | (?:AKIA|ASIA)[A-Z0-9]{16} | gh[pousr]_[A-Za-z0-9]{30,}
            | github_pat_[A-Za-z0-9_]{30,} | xox[abprs]-[A-Za-z0-9-]{10,} | AIza[A-Za-z0-9_-]{30,}
            | eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,} )
          | -----BEGIN\ [A-Z\ ]{0,20}PRIVATE\ KEY-----[A-Za-z0-9+/=\s]{16,}-----END\ [A-Z\ ]{0,20}PRIVATE\ KEY-----",
        |_| true,
    ),
];

type Check = fn(&str) -> bool;

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("redaction rule {number}: {reason}")]
pub struct RuleError {
    /// Counted from 1.
    pub number: usize,
    /// What is wrong with it.
    pub reason: String,
}

struct Rule {
    pattern: Regex,
    check: Check,
    replacement: String,
    /// Empty for every text.
    fields: Vec<RedactedField>,
}

impl Rule {
    fn new(rule: &RedactionRule) -> Result<Self, String> {
        let (pattern, check, name) = match (&rule.pattern, &rule.regex) {
            (Some(name), None) => {
                let (name, pattern, check) =
                    NAMED.iter().find(|(known, ..)| known == name).ok_or_else(|| {
                        let known: Vec<_> = NAMED.iter().map(|(known, ..)| *known).collect();
                        format!("there is no pattern `{name}`; there are {}", known.join(", "))
                    })?;
                (*pattern, *check, *name)
            }
            (None, Some(regex)) => (regex.as_str(), (|_| true) as Check, "redacted"),
            _ => return Err("give either `pattern` or `regex`".into()),
        };
        let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
        if pattern.is_match("") {
            return Err("the expression matches the empty text".into());
        }
        let replacement = rule.replacement.clone().unwrap_or_else(|| format!("[{name}]"));
        Ok(Self { pattern, check, replacement, fields: rule.fields.clone() })
    }

    fn covers(&self, field: RedactedField) -> bool {
        if self.fields.is_empty() { field != RedactedField::User } else { self.fields.contains(&field) }
    }

    fn replace(&self, text: &mut String) {
        let replaced = self.pattern.replace_all(text, |found: &regex::Captures<'_>| {
            let found = &found[0];
            if (self.check)(found) { self.replacement.clone() } else { found.to_owned() }
        });
        if let Cow::Owned(replaced) = replaced {
            *text = replaced;
        }
    }
}

/// The rules of a configuration.
#[derive(Default)]
pub struct Redactor {
    rules: Vec<Rule>,
}

impl Redactor {
    /// Compiles the rules.
    pub fn new(rules: &[RedactionRule]) -> Result<Self, RuleError> {
        let compiled = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| Rule::new(rule).map_err(|reason| RuleError { number: index + 1, reason }));
        Ok(Self { rules: compiled.collect::<Result<_, _>>()? })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Redacts a text that several fields went into: every rule applies.
    pub fn everything(&self, text: &mut String) {
        for rule in &self.rules {
            rule.replace(text);
        }
    }

    /// Redacts one text.
    pub fn text(&self, field: RedactedField, text: &mut String) {
        for rule in self.rules.iter().filter(|rule| rule.covers(field)) {
            rule.replace(text);
        }
    }

    /// Redacts an interaction.
    pub fn interaction(&self, interaction: &mut Interaction, origin: &mut Origin) {
        if self.is_empty() {
            return;
        }
        self.text(RedactedField::Query, &mut interaction.query);
        self.text(RedactedField::Answer, &mut interaction.actual);
        for expected in &mut interaction.expected {
            self.text(RedactedField::Expected, expected);
        }
        for message in &mut interaction.history {
            self.message(RedactedField::History, message);
        }
        self.documents(&mut interaction.documents);
        for call in &mut interaction.tool_calls {
            self.tool_call(call);
        }
        for text in interaction.metadata.values_mut() {
            self.text(RedactedField::Metadata, text);
        }
        for value in interaction.extra.iter_mut().flat_map(serde_json::Map::values_mut) {
            self.value(RedactedField::Metadata, value);
        }
        if let Some(error) = &mut interaction.error {
            self.text(RedactedField::Error, error);
        }
        for media in [&mut interaction.query_media, &mut interaction.actual_media] {
            for part in media {
                self.part(RedactedField::Metadata, part);
            }
        }
        for score in &mut origin.scores {
            self.score(score);
        }
        if let Some(user) = &mut origin.user {
            self.text(RedactedField::User, user);
        }
    }

    /// Redacts an event.
    pub fn event(&self, event: &mut Event) {
        if let Some(value) = &mut event.value {
            self.value(RedactedField::Event, value);
        }
        if let Some(user) = &mut event.user {
            self.text(RedactedField::User, user);
        }
    }

    /// Redacts what a span says.
    pub fn facts(&self, facts: &mut Facts) {
        if self.is_empty() {
            return;
        }
        for message in &mut facts.input {
            let field = match message.role {
                Role::User => RedactedField::Query,
                _ => RedactedField::History,
            };
            self.message(field, message);
        }
        for message in &mut facts.output {
            self.message(RedactedField::Answer, message);
        }
        for (field, text) in [
            (RedactedField::Query, &mut facts.input_value),
            (RedactedField::Answer, &mut facts.output_value),
            (RedactedField::Error, &mut facts.error),
            (RedactedField::User, &mut facts.user),
        ] {
            if let Some(text) = text {
                self.text(field, text);
            }
        }
        self.documents(&mut facts.documents);
        if let Some(call) = &mut facts.tool {
            self.tool_call(call);
        }
        for score in &mut facts.scores {
            self.score(score);
        }
        for text in facts.metadata.values_mut() {
            self.text(RedactedField::Metadata, text);
        }
    }

    /// Redacts what a log record says.
    pub fn log(&self, log: &mut LogFact) {
        match &mut log.what {
            LogWhat::Details(facts) => self.facts(facts),
            LogWhat::Messages(messages) => {
                messages.iter_mut().for_each(|message| self.message(RedactedField::Query, message));
            }
            LogWhat::Choice(message, _) => self.message(RedactedField::Answer, message),
            LogWhat::Score(score) => self.score(score),
        }
    }

    fn score(&self, score: &mut IncomingScore) {
        if let Some(explanation) = &mut score.explanation {
            self.text(RedactedField::Metadata, explanation);
        }
    }

    fn documents(&self, documents: &mut [Document]) {
        for document in documents {
            self.text(RedactedField::Documents, &mut document.content);
            for text in [&mut document.title, &mut document.uri].into_iter().flatten() {
                self.text(RedactedField::Documents, text);
            }
        }
    }

    /// Redacts every text in a JSON value.
    pub fn value(&self, field: RedactedField, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => self.text(field, text),
            serde_json::Value::Array(values) => values.iter_mut().for_each(|value| self.value(field, value)),
            serde_json::Value::Object(members) => {
                members.values_mut().for_each(|value| self.value(field, value));
            }
            _ => {}
        }
    }

    fn message(&self, field: RedactedField, message: &mut Message) {
        for part in &mut message.parts {
            self.part(field, part);
        }
        for call in &mut message.tool_calls {
            self.tool_call(call);
        }
    }

    fn part(&self, field: RedactedField, part: &mut Part) {
        match part {
            Part::Text { text } => self.text(field, text),
            Part::Image(media) | Part::File(media) => {
                self.text(field, &mut media.uri);
                if let Some(name) = &mut media.name {
                    self.text(field, name);
                }
            }
        }
    }

    fn tool_call(&self, call: &mut ToolCall) {
        self.text(RedactedField::ToolCalls, &mut call.arguments);
        for text in [&mut call.output, &mut call.error].into_iter().flatten() {
            self.text(RedactedField::ToolCalls, text);
        }
    }
}

fn has_luhn_checksum(text: &str) -> bool {
    let digits = text.bytes().rev().filter(u8::is_ascii_digit).map(|digit| u32::from(digit - b'0'));
    let sum: u32 = digits
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => digit,
            _ if digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// ISO 13616: the country and check digits go to the end, letters become two
/// digits, and the number is 1 modulo 97.
fn has_iban_checksum(text: &str) -> bool {
    let compact: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    if !(15..=34).contains(&compact.len()) {
        return false;
    }
    let (head, tail) = compact.split_at(4);
    let remainder = tail.iter().chain(head).fold(0_u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        _ => (remainder * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    remainder == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor(rules: &[(&str, &[RedactedField])]) -> Redactor {
        let rules: Vec<_> = rules
            .iter()
            .map(|(pattern, fields)| RedactionRule {
                pattern: Some((*pattern).to_owned()),
                fields: fields.to_vec(),
                ..RedactionRule::default()
            })
            .collect();
        Redactor::new(&rules).expect("valid rules")
    }

    fn redacted(text: &str) -> String {
        let all: Vec<_> = NAMED.iter().map(|(name, ..)| (*name, &[][..])).collect();
        let mut text = text.to_owned();
        redactor(&all).text(RedactedField::Query, &mut text);
        text
    }

    #[test]
    fn named_patterns_find_what_they_are_named_after() {
        for (text, expected) in [
            ("write to Anna.Smith+x@mail.example.co.uk please", "write to [email] please"),
            ("call +49 (30) 901820-13 or 00441632960961", "call [phone] or [phone]"),
            ("call 415-555-0132 now", "call [phone] now"),
            // Numbers that card schemes publish for testing.
            ("card 4111 1111 1111 1111, amex 378282246310005", "card [card], amex [card]"),
            // The example of the IBAN registry, with and without blanks.
            ("to GB29 NWBK 6016 1331 9268 19.", "to [iban]."),
            ("to DE89370400440532013000", "to [iban]"),
            ("key sk-abcdefghijklmnop1234 and AKIAIOSFODNN7EXAMPLE", "key [key] and [key]"),
            ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0xx.c2lnbmF0dXJl0", "token [key]"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn what_only_looks_alike_stays() {
        for text in [
            "the total is 1234567 of 2026-11-24",
            "order 4111 1111 1111 1112",
            "GB29 NWBK 6016 1331 9268 18",
            "a@b and task-force-of-many-words",
            "version 1.2.3.4, 12:30:45, 3.14159265",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn a_rule_keeps_to_its_fields() {
        let redactor = redactor(&[("email", &[RedactedField::Answer])]);
        let mail = || "a@example.com".to_owned();
        let mut interaction = Interaction { query: mail(), actual: mail(), ..Interaction::default() };
        redactor.interaction(&mut interaction, &mut Origin::default());
        assert_eq!((interaction.query, interaction.actual), (mail(), "[email]".to_owned()));
    }

    #[test]
    fn a_rule_that_cannot_be_used_is_named() {
        let rule = |pattern: Option<&str>, regex: Option<&str>| RedactionRule {
            pattern: pattern.map(str::to_owned),
            regex: regex.map(str::to_owned),
            ..RedactionRule::default()
        };
        for (wrong, reason) in [
            (rule(Some("passport"), None), "there is no pattern `passport`"),
            (rule(None, Some("(")), "unclosed group"),
            (rule(None, Some("x*")), "matches the empty text"),
            (rule(None, None), "either `pattern` or `regex`"),
        ] {
            let Err(error) = Redactor::new(&[rule(Some("email"), None), wrong]) else {
                panic!("{reason}: accepted");
            };
            assert_eq!(error.number, 2);
            assert!(error.reason.contains(reason), "{error}");
        }
    }
}
