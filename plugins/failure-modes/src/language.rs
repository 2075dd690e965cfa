//! Whether an answer is in the language that it must be.
//!
//! Trigrams tell a language well on some sentences and badly on few words,
//! names and code, so this says nothing unless both sides are clear.

use assay_plugin::prelude::*;
use whatlang::{Lang, Script};

use crate::Mode;
use crate::detectors::{Detectors, label};
use crate::phrases::ABOUT_LANGUAGE;

/// How much a language must be ahead of the next one, as `whatlang` counts it.
const CONFIDENCE_MIN: f64 = 0.9;

/// More of a text tells no more.
const CHARACTERS_MAX: usize = 2_000;

/// Languages so alike that trigrams mistake one for another.
const ALIKE: [&[Lang]; 9] = [
    &[Lang::Dan, Lang::Nob, Lang::Swe],
    &[Lang::Spa, Lang::Por, Lang::Cat, Lang::Ita],
    &[Lang::Hrv, Lang::Slv, Lang::Srp],
    &[Lang::Ces, Lang::Slk, Lang::Pol],
    &[Lang::Rus, Lang::Ukr, Lang::Bel, Lang::Bul, Lang::Mkd, Lang::Srp],
    &[Lang::Hin, Lang::Mar, Lang::Nep],
    &[Lang::Nld, Lang::Afr, Lang::Deu],
    &[Lang::Ind, Lang::Jav, Lang::Tgl],
    &[Lang::Tur, Lang::Aze, Lang::Tuk, Lang::Uzb],
];

/// 0.9 where the script is another, else 0.8.
pub fn find(item: &Interaction, detectors: &Detectors) -> Option<Label> {
    let letters_min = detectors.config.wrong_language.letters_min;
    // The query first: it is short, and most often decides that nothing is said.
    let (expected, script, told) = if detectors.languages.is_empty() {
        let folded = item.query.to_lowercase();
        if ABOUT_LANGUAGE.iter().any(|word| folded.contains(word)) {
            return None;
        }
        let query = Written::of(&item.query, letters_min)?;
        (vec![query.language], Some(query.script), format!("the query is in {}", query.language.eng_name()))
    } else {
        let names: Vec<_> = detectors.languages.iter().map(|language| language.eng_name()).collect();
        (detectors.languages.clone(), None, format!("it must be in {}", names.join(" or ")))
    };
    let answer = Written::of(&item.actual, letters_min)?;
    let is_right = expected.iter().any(|expected| are_alike(*expected, answer.language));
    let confidence = if script.is_some_and(|script| script != answer.script) { 0.9 } else { 0.8 };
    (!is_right).then(|| {
        let reason = format!("the answer is in {}; {told}", answer.language.eng_name());
        label(Mode::WrongLanguage, confidence, reason)
    })
}

/// What a text is written in.
struct Written {
    language: Lang,
    script: Script,
}

impl Written {
    /// None where that is not clear.
    fn of(text: &str, letters_min: usize) -> Option<Self> {
        let prose = prose(text);
        if prose.chars().filter(|c| c.is_alphabetic()).count() < letters_min_of(&prose, letters_min) {
            return None;
        }
        let found = whatlang::detect(&prose)?;
        (found.confidence() >= CONFIDENCE_MIN)
            .then(|| Self { language: found.lang(), script: found.script() })
    }
}

/// A character of Chinese, Japanese or Korean says as much as some letters.
fn letters_min_of(text: &str, letters_min: usize) -> usize {
    let dense =
        |c: char| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}');
    let all = text.chars().filter(|c| c.is_alphabetic()).count();
    let is_dense = text.chars().filter(|c| dense(*c)).count() * 2 > all;
    if is_dense { letters_min.div_ceil(4) } else { letters_min }
}

/// The start of a text without code blocks, and without lines that look like
/// code, links or tables.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            continue;
        }
        let looks_like_code =
            line.contains(['{', '}', '<', '>', '|', ';', '=', '\\']) || line.contains("://");
        if !is_code && !looks_like_code {
            prose.push_str(line);
            prose.push('\n');
        }
        if prose.len() > CHARACTERS_MAX {
            break;
        }
    }
    prose
}

fn are_alike(one: Lang, other: Lang) -> bool {
    one == other || ALIKE.iter().any(|group| group.contains(&one) && group.contains(&other))
}

/// The language of a code of ISO 639-1 or 639-3.
pub fn from_code(code: &str) -> Option<Lang> {
    let code = code.to_ascii_lowercase();
    let three = TWO_LETTERS.iter().find(|(two, _)| *two == code).map_or(code.as_str(), |(_, three)| three);
    Lang::from_code(three)
}

const TWO_LETTERS: [(&str, &str); 68] = [
    ("af", "afr"),
    ("sq", "sqi"),
    ("am", "amh"),
    ("ar", "ara"),
    ("hy", "hye"),
    ("az", "aze"),
    ("be", "bel"),
    ("bn", "ben"),
    ("bg", "bul"),
    ("my", "mya"),
    ("ca", "cat"),
    ("zh", "cmn"),
    ("hr", "hrv"),
    ("cs", "ces"),
    ("da", "dan"),
    ("nl", "nld"),
    ("en", "eng"),
    ("eo", "epo"),
    ("et", "est"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("ka", "kat"),
    ("de", "deu"),
    ("el", "ell"),
    ("gu", "guj"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hu", "hun"),
    ("id", "ind"),
    ("it", "ita"),
    ("ja", "jpn"),
    ("jv", "jav"),
    ("kn", "kan"),
    ("km", "khm"),
    ("ko", "kor"),
    ("la", "lat"),
    ("lv", "lav"),
    ("lt", "lit"),
    ("mk", "mkd"),
    ("ml", "mal"),
    ("mr", "mar"),
    ("ne", "nep"),
    ("nb", "nob"),
    ("no", "nob"),
    ("or", "ori"),
    ("pa", "pan"),
    ("fa", "pes"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("sr", "srp"),
    ("si", "sin"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sn", "sna"),
    ("es", "spa"),
    ("sv", "swe"),
    ("tl", "tgl"),
    ("ta", "tam"),
    ("te", "tel"),
    ("th", "tha"),
    ("tr", "tur"),
    ("tk", "tuk"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("uz", "uzb"),
    ("vi", "vie"),
];
