//! Answers that go round in circles: the same run of characters again and
//! again, or the same long sentence.

use std::collections::HashMap;

use assay_plugin::prelude::*;

use crate::Mode;
use crate::config::RepetitionConfig;
use crate::detectors::quoting;

/// Of a longer answer the end is looked at, where loops are.
const CHARACTERS_MAX: usize = 20_000;
/// The longest run that is looked for.
const PERIOD_MAX: usize = 400;
/// A shorter sentence may well come again.
const SENTENCE_CHARACTERS_MIN: usize = 40;

/// 0.95 for a run that is repeated up to the answer's end, 0.85 for one before,
/// 0.7 for a sentence that comes again and again. Half of that where the query
/// asks for repetition.
pub fn find(item: &Interaction, config: &RepetitionConfig) -> Option<Label> {
    let text = item.actual.trim_end();
    if text.len() < config.characters_min {
        return None;
    }
    let start = text.char_indices().rev().nth(CHARACTERS_MAX - 1).map_or(0, |(at, _)| at);
    let text = &text[start..];
    let (confidence, told, quote) = run(text, config).or_else(|| sentences(text, config))?;
    let confidence = if asks_for_it(&item.query) { confidence / 2.0 } else { confidence };
    Some(quoting(Mode::Repetition, confidence, told, quote))
}

fn asks_for_it(query: &str) -> bool {
    const WORDS: [&str; 9] =
        ["repeat", " times", "again and again", "wiederhol", " mal ", "répét", " fois", "repit", " veces"];
    let query = query.to_lowercase();
    WORDS.iter().any(|word| query.contains(word))
}

/// A run of characters that is repeated without anything between.
///
/// With the period p, repeated characters are those that equal the one p
/// before. For each place the longest such stretch is counted, for all periods
/// at once only where a first look makes one likely.
fn run<'a>(text: &'a str, config: &RepetitionConfig) -> Option<(f64, String, &'a str)> {
    let places: Vec<(usize, char)> = text.char_indices().collect();
    let characters: Vec<char> = places.iter().map(|(_, c)| *c).collect();
    for period in periods(&characters, config) {
        let mut length = 0;
        let mut longest = (0, 0);
        for at in period..characters.len() {
            length = if characters[at] == characters[at - period] { length + 1 } else { 0 };
            if length > longest.0 {
                longest = (length, at + 1);
            }
        }
        let (repeated, end) = longest;
        let times = repeated / period + 1;
        let start = end.saturating_sub(repeated + period);
        let block = &characters[start..(start + period).min(characters.len())];
        let says_something = block.iter().filter(|c| c.is_alphabetic()).count() * 3 >= block.len();
        if times >= config.times_min && repeated + period >= config.characters_min && says_something {
            let is_at_end = characters.len() - end <= period;
            let quote_end = places.get(start + period).map_or(text.len(), |(at, _)| *at);
            let quote = text[places[start].0..quote_end].trim();
            let confidence = if is_at_end { 0.95 } else { 0.85 };
            return Some((confidence, format!("{times} times the same, one after the other"), quote));
        }
    }
    None
}

/// Periods that are worth a look, the shortest first: distances at which the
/// same eight characters come again, often enough.
fn periods(characters: &[char], config: &RepetitionConfig) -> Vec<usize> {
    const SEED: usize = 8;
    let mut last = HashMap::<&[char], usize>::new();
    let mut seen = HashMap::<usize, usize>::new();
    for (at, seed) in characters.windows(SEED).enumerate() {
        if let Some(before) = last.insert(seed, at)
            && at - before <= PERIOD_MAX
        {
            *seen.entry(at - before).or_default() += 1;
        }
    }
    let enough = |period: usize| {
        let all = config.characters_min.max(period * config.times_min);
        all.saturating_sub(period + SEED)
    };
    let mut periods: Vec<_> = seen
        .into_iter()
        .filter(|(period, count)| *count >= enough(*period))
        .map(|(period, _)| period)
        .collect();
    periods.sort_unstable();
    periods
}

/// A long sentence or line that comes again, whatever stands between.
fn sentences<'a>(text: &'a str, config: &RepetitionConfig) -> Option<(f64, String, &'a str)> {
    let mut counts = HashMap::<String, (usize, &str)>::new();
    for sentence in text.split(['\n', '.', '!', '?', '。']) {
        let sentence = sentence.trim().trim_start_matches(|c: char| !c.is_alphabetic());
        let letters = sentence.chars().filter(|c| c.is_alphabetic()).count();
        if letters >= SENTENCE_CHARACTERS_MIN {
            counts.entry(sentence.to_lowercase()).or_insert((0, sentence)).0 += 1;
        }
    }
    let (times, sentence) = counts.into_values().max()?;
    (times >= config.times_min).then(|| (0.7, format!("{times} times the same sentence"), sentence))
}
