//! Whether an answer came at all: errors, time-outs, empty answers.

use assay_plugin::prelude::*;
use assay_plugin::quotes::shortened;

use crate::Mode;
use crate::config::TimeoutConfig;
use crate::detectors::label;

/// Words of an error that say that somebody gave up waiting. Compared in lower
/// case.
const TIMEOUT_WORDS: [&str; 12] = [
    "timeout",
    "timed out",
    "time-out",
    "timed-out",
    "time out",
    "deadline exceeded",
    "deadline_exceeded",
    "deadlineexceeded",
    "etimedout",
    "gateway time",
    "zeitüberschreitung",
    "délai d'attente",
];

/// Statuses that mean the same: of the client's own request, of a gateway, and
/// of a proxy that is in common use.
const TIMEOUT_STATUSES: [&str; 4] = ["408", "504", "522", "524"];

/// The product's own error, unless it is a time-out, which has its own mode.
pub fn error(item: &Interaction) -> Option<Label> {
    match item.error.as_deref() {
        Some(error) if !is_timeout(error) => {
            Some(label(Mode::Error, 1.0, format!("the product's error: {}", shortened(error.trim(), 500))))
        }
        Some(_) => None,
        None if finish_reason(item).as_deref() == Some("error") => {
            Some(label(Mode::Error, 1.0, "the finish reason is `error`"))
        }
        None => None,
    }
}

/// An error that says that somebody gave up waiting, or an answer that took
/// longer than the product allows.
pub fn timeout(item: &Interaction, config: &TimeoutConfig) -> Option<Label> {
    if let Some(error) = item.error.as_deref().filter(|error| is_timeout(error)) {
        return Some(label(
            Mode::Timeout,
            0.95,
            format!("the product's error: {}", shortened(error.trim(), 500)),
        ));
    }
    let took_s = item.timing.total_us? as f64 / 1e6;
    let most = config.total_s_max?;
    (took_s > most).then(|| label(Mode::Timeout, 1.0, format!("took {took_s:.1} s, over {most} s")))
}

/// No answer, no other part of one, no tool call, and no error that would say
/// why.
pub fn empty(item: &Interaction) -> Option<Label> {
    let is_blank = item.actual.chars().all(|c| c.is_whitespace() || c.is_control() || is_invisible(c));
    let has_nothing = is_blank && item.actual_media.is_empty() && item.tool_calls.is_empty();
    (has_nothing && item.error.is_none())
        .then(|| label(Mode::Empty, 1.0, "there is nothing to see in the answer"))
}

/// The finish reason in lower case.
pub fn finish_reason(item: &Interaction) -> Option<String> {
    item.finish_reason.as_deref().map(|reason| reason.trim().to_lowercase())
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

fn is_timeout(error: &str) -> bool {
    let error = error.to_lowercase();
    TIMEOUT_WORDS.iter().any(|word| error.contains(word))
        || error.split(|c: char| !c.is_alphanumeric()).any(|word| TIMEOUT_STATUSES.contains(&word))
}
