//! Answers that decline, in seven languages, by what stands near their start.

use assay_plugin::prelude::*;
use assay_plugin::quotes::head;

use crate::Mode;
use crate::delivery::finish_reason;
use crate::detectors::{Detectors, label, quoting};
use crate::phrases::{REFUSALS, Refusals};

/// A refusal stands near the start; later on a sentence like it is a caveat.
const START_CHARACTERS: usize = 300;
/// An answer that goes on for longer does something beside refusing.
const LONG_CHARACTERS: usize = 700;

/// How far behind the refusal an offer of something else stands.
const OFFER_BYTES: usize = 200;

/// What looks like a refusing verb and is none: songs and idioms have them.
const NO_REFUSAL: [&str; 6] = ["give up", "give in", "give way", "help but", "help feel", "help myself"];

/// Sure where the finish reason or a configured pattern says it; 0.95 with an
/// apology, 0.85 without, 0.7 where something is said to be out of reach, and
/// half of that where something else is offered or the answer goes on for long.
pub fn find(item: &Interaction, detectors: &Detectors) -> Option<Label> {
    if let Some(reason) = finish_reason(item).filter(|reason| {
        matches!(
            reason.as_str(),
            "refusal" | "content_filter" | "safety" | "prohibited_content" | "guardrail_intervened"
        )
    }) {
        return Some(label(Mode::Refusal, 1.0, format!("the finish reason is `{reason}`")));
    }
    if item.actual.is_empty() || detectors.no_refusals.iter().any(|pattern| pattern.is_match(&item.actual)) {
        return None;
    }
    if let Some(found) = detectors.refusals.iter().find_map(|pattern| pattern.find(&item.actual)) {
        return Some(quoting(Mode::Refusal, 1.0, "a configured pattern matches", found.as_str()));
    }
    let start = first_characters(&item.actual, START_CHARACTERS);
    let folded = folded(start);
    let (confidence, told, at) = REFUSALS.iter().find_map(|language| declines(&folded, language))?;
    let is_long = item.actual.len() > LONG_CHARACTERS && item.actual.chars().count() > LONG_CHARACTERS;
    let behind = head(&folded[at..], OFFER_BYTES);
    let offers =
        REFUSALS.iter().flat_map(|language| language.instead).any(|instead| behind.contains(instead));
    let (confidence, told) = match (is_long, offers) {
        (false, false) => (confidence, told.to_owned()),
        (true, _) => (confidence / 2.0, format!("{told}, and goes on for long")),
        (false, true) => (confidence / 2.0, format!("{told}, and offers something else")),
    };
    // The folded text has as many characters as the answer.
    let skipped = folded[..at].chars().count();
    let quote: String = start.chars().skip(skipped).take(80).collect();
    let quote = quote.split(['\n', '.', '!']).next().unwrap_or_default().trim().to_owned();
    Some(quoting(Mode::Refusal, confidence, told, &quote))
}

/// How a text declines in a language, and where.
fn declines(text: &str, language: &Refusals) -> Option<(f64, &'static str, usize)> {
    let is_sorry = language.sorry.iter().any(|sorry| text.contains(sorry));
    let unable = language.unable.iter().find_map(|unable| {
        let places = text.match_indices(unable);
        let mut refusing = places
            .filter(|(at, _)| starts_a_word(text, *at) && is_verb(&text[at + unable.len()..], language));
        refusing.next().map(|(at, _)| at)
    });
    if let Some(at) = unable {
        return Some(if is_sorry {
            (0.95, "it declines and apologises", at)
        } else {
            (0.85, "it declines", at)
        });
    }
    let at =
        language.whole.iter().find_map(|whole| text.find(whole).filter(|at| starts_a_word(text, *at)))?;
    Some((if is_sorry { 0.9 } else { 0.7 }, "it says that something is out of its reach or rules", at))
}

fn starts_a_word(text: &str, at: usize) -> bool {
    !text[..at].ends_with(char::is_alphanumeric)
}

/// Whether a verb follows, behind at most three fillers.
fn is_verb(rest: &str, language: &Refusals) -> bool {
    let mut rest = rest.trim_start();
    for _ in 0..4 {
        if NO_REFUSAL.iter().any(|idiom| rest.starts_with(idiom)) {
            return false;
        }
        if language.verbs.iter().any(|verb| rest.starts_with(verb)) {
            return true;
        }
        match language.between.iter().find_map(|filler| rest.strip_prefix(filler)) {
            Some(after) => rest = after.trim_start(),
            None => return false,
        }
    }
    false
}

fn first_characters(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(at, _)| &text[..at])
}

/// Lower case, character by character, with straight apostrophes and spaces.
fn folded(text: &str) -> String {
    let fold = |c: char| match c {
        '’' | '‘' | '`' => '\'',
        c if c.is_whitespace() => ' ',
        c => c.to_lowercase().next().unwrap_or(c),
    };
    text.chars().map(fold).collect()
}
