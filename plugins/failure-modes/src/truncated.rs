//! Answers that were cut: told by the finish reason, else seen at their end.
//!
//! What an end looks like says little (poems, lists and headlines end without
//! a full stop), so only ends are taken that no writer would leave.

use assay_plugin::prelude::*;

use crate::Mode;
use crate::delivery::finish_reason;
use crate::detectors::{label, quoting};
use crate::phrases;

/// Finish reasons of the common services for "no more tokens".
const CUT: [&str; 6] = [
    "length",
    "max_tokens",
    "max_output_tokens",
    "model_length",
    "model_context_window_exceeded",
    "incomplete",
];

/// The most of the end that is quoted.
const END_CHARACTERS: usize = 60;

/// Sure where the finish reason says it. Where the model said that it was done
/// (`stop` or the like), only an end within a code block or JSON counts; where
/// nothing is known, also an end within a sentence.
pub fn find(item: &Interaction) -> Option<Label> {
    let text = item.actual.trim_end();
    let reason = finish_reason(item);
    if let Some(reason) = reason.as_deref().filter(|reason| CUT.contains(reason)) {
        let told = format!("the finish reason is `{reason}`");
        return Some(if text.is_empty() {
            label(Mode::Truncated, 1.0, told)
        } else {
            quoting(Mode::Truncated, 1.0, told, end_of(text))
        });
    }
    if text.is_empty() {
        return None;
    }
    let (confidence, told) =
        structure(text).or_else(|| if reason.is_none() { sentence(text) } else { None })?;
    Some(quoting(Mode::Truncated, confidence, told, end_of(text)))
}

fn end_of(text: &str) -> &str {
    let start = text.char_indices().rev().nth(END_CHARACTERS - 1).map_or(0, |(at, _)| at);
    text[start..].trim_start()
}

/// Something that was opened and is not closed.
fn structure(text: &str) -> Option<(f64, &'static str)> {
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '[']) {
        let parsed = serde_json::from_str::<serde::de::IgnoredAny>(trimmed);
        if parsed.is_err_and(|error| error.is_eof()) {
            return Some((0.95, "the JSON has no end"));
        }
    }
    let fences = text.lines().filter(|line| line.trim_start().starts_with("```")).count();
    if fences % 2 == 1 {
        return Some((0.9, "the last code block has no end"));
    }
    // At a line's start: prose may speak of the tag.
    if text.lines().any(|line| line.trim_start().starts_with("<html")) && !text.contains("</html") {
        return Some((0.9, "the page has no end"));
    }
    None
}

/// An end within a sentence, a list or a table.
fn sentence(text: &str) -> Option<(f64, &'static str)> {
    let last_line = text.lines().next_back().unwrap_or(text).trim();
    let before = text.lines().rev().nth(1).map(str::trim).unwrap_or_default();
    if last_line.len() < text.len() && is_bare_marker(last_line) && is_list_item(before) {
        return Some((0.9, "the last list item is empty"));
    }
    if last_line.starts_with('|')
        && !last_line.ends_with('|')
        && before.starts_with('|')
        && before.ends_with('|')
    {
        return Some((0.85, "the last row of the table has no end"));
    }
    if text.ends_with([',', '(', '[', '{', '=', '+', '&', '\\']) || text.ends_with(" -") {
        return Some((0.8, "it ends where something must follow"));
    }
    if open_braces(text) > 0 && !text.ends_with(['.', '!', '?', '`']) {
        return Some((0.8, "a brace is not closed"));
    }
    let words: Vec<_> = last_line.split_whitespace().collect();
    let last_word = words.last()?.to_lowercase();
    if words.len() >= 4 && phrases::NEVER_LAST.contains(&last_word.as_str()) {
        return Some((0.8, "it ends with a word that something must follow"));
    }
    None
}

/// A list's number or bullet with nothing behind it.
fn is_bare_marker(line: &str) -> bool {
    let number = line.trim_end_matches(['.', ')']);
    matches!(line, "-" | "*" | "•")
        || (!number.is_empty() && number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit()))
}

fn is_list_item(line: &str) -> bool {
    let marker = line.split_whitespace().next().unwrap_or_default();
    is_bare_marker(marker) && line.len() > marker.len()
}

fn open_braces(text: &str) -> i64 {
    text.chars().map(|c| i64::from(c == '{') - i64::from(c == '}')).sum()
}
