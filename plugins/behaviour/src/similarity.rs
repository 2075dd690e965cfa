//! How likely two queries mean the same, as far as their wording shows.
//!
//! Four measures are mixed: the share of content words that both have, over all
//! of them (Jaccard) and over those of the shorter query (containment), the
//! share of character trigrams that both have, and how few characters have to
//! be changed with the words in alphabetical order. None knows synonyms.

use std::cmp::Ordering;

use rapidfuzz::distance::{levenshtein, osa};

use crate::words::{Word, words};

/// What each measure counts. They and the default threshold were chosen on
/// `tests/pairs.tsv`.
const WEIGHTS: [f64; 4] = [0.3, 0.5, 0.1, 0.1];
/// What has to be contained in the other query to be taken for all of it: a
/// single content word is contained in too much.
const CONTAINED_MIN: f64 = 2.0;
/// What the shorter query's words beside the other's have to count to make it
/// another question: one content word, and in long queries this share of all.
const OTHER_WORD: f64 = 0.95;
const OTHER_WORD_SHARE: f64 = 0.1;
/// Characters of a query that are compared: a pasted document is cut there.
const CHARACTERS_MAX: usize = 2_000;
/// Two words of at least this many letters that are almost alike count as one
/// that was misspelt or inflected.
const MISSPELT_LETTERS_MIN: usize = 4;
/// How alike: one letter of five may differ.
const MISSPELT_SIMILARITY_MIN: f64 = 0.79;
/// Words without an equal beyond which no such pairs are looked for.
const MISSPELT_WORDS_MAX: usize = 64;

/// A query made ready to be compared.
#[derive(Debug, Clone)]
pub struct Query {
    folded: String,
    words: Vec<Word>,
    /// The words in alphabetical order.
    in_order: String,
    /// In order, repeated ones as often as they occur.
    trigrams: Vec<[char; 3]>,
}

impl Query {
    /// Folds and cuts a query into words.
    pub fn new(query: &str) -> Self {
        let folded = fold(query);
        let end = folded.char_indices().nth(CHARACTERS_MAX).map_or(folded.len(), |(at, _)| at);
        let compared = &folded[..end];
        let words = words(compared);
        let in_order = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let padded: Vec<_> = [' '].into_iter().chain(compared.chars()).chain([' ']).collect();
        let mut trigrams: Vec<_> = padded.windows(3).map(|three| [three[0], three[1], three[2]]).collect();
        trigrams.sort_unstable();
        Self { folded, words, in_order, trigrams }
    }

    /// Whether both are the same but for case, white space, and punctuation at
    /// their ends.
    pub fn is_same(&self, other: &Self) -> bool {
        self.folded == other.folded
    }

    /// In [0, 1]; none where one of them has no word. Counts half where both
    /// look like the same question about something else: each has a number that
    /// the other has not, or even the shorter one has a content word that the
    /// other has not.
    pub fn similarity(&self, other: &Self) -> Option<f64> {
        if self.words.is_empty() || other.words.is_empty() {
            return None;
        }
        let (one, two) = (self.weight(), other.weight());
        let (least, both) = (one.min(two), self.weight_shared(other));
        let measures = [
            both / (one + two - both),
            both / least.max(CONTAINED_MIN),
            shared(&self.trigrams, &other.trigrams),
            levenshtein::normalized_similarity(self.in_order.chars(), other.in_order.chars()),
        ];
        let mixed: f64 = measures.iter().zip(WEIGHTS).map(|(measure, weight)| measure * weight).sum();
        let other_number = self.has_number_beside(other) && other.has_number_beside(self);
        let other_word = least - both > OTHER_WORD.max(OTHER_WORD_SHARE * least);
        Some(if other_number || other_word { mixed / 2.0 } else { mixed }.clamp(0.0, 1.0))
    }

    fn weight(&self) -> f64 {
        self.words.iter().map(|word| word.weight).sum()
    }

    fn has_number_beside(&self, other: &Self) -> bool {
        self.words.iter().any(|word| word.is_number() && !other.words.contains(word))
    }

    /// What the words count that both have.
    fn weight_shared(&self, other: &Self) -> f64 {
        let (mut both, mut left, mut right) = (0.0, Vec::new(), Vec::new());
        let (mut here, mut there) = (self.words.iter().peekable(), other.words.iter().peekable());
        while let (Some(one), Some(two)) = (here.peek(), there.peek()) {
            match one.text.cmp(&two.text) {
                Ordering::Equal => {
                    both += one.weight;
                    here.next();
                    there.next();
                }
                Ordering::Less => left.extend(here.next()),
                Ordering::Greater => right.extend(there.next()),
            }
        }
        left.extend(here);
        right.extend(there);
        both + misspelt(left, right)
    }
}

/// What is shared by words of which each is almost like one of the others.
fn misspelt(left: Vec<&Word>, right: Vec<&Word>) -> f64 {
    let candidates = |words: Vec<&Word>| -> Vec<Vec<char>> {
        words
            .into_iter()
            .filter(|word| word.may_be_misspelt)
            .map(|word| word.text.chars().collect())
            .filter(|letters: &Vec<_>| letters.len() >= MISSPELT_LETTERS_MIN)
            .collect()
    };
    let (left, mut right) = (candidates(left), candidates(right));
    if left.len().max(right.len()) > MISSPELT_WORDS_MAX {
        return 0.0;
    }
    let mut shared = 0.0;
    for word in left {
        let alike = |other: &Vec<char>| {
            // Two neighbouring letters in the wrong order are one mistake.
            osa::normalized_similarity(word.iter().copied(), other.iter().copied())
        };
        let nearest = right.iter().map(alike).enumerate().max_by(|(_, one), (_, other)| one.total_cmp(other));
        if let Some((index, similarity)) = nearest
            && similarity >= MISSPELT_SIMILARITY_MIN
        {
            shared += similarity;
            right.swap_remove(index);
        }
    }
    shared
}

/// Dice coefficient of two sorted lists.
fn shared<T: Ord>(one: &[T], other: &[T]) -> f64 {
    let (mut both, mut here, mut there) = (0, 0, 0);
    while here < one.len() && there < other.len() {
        match one[here].cmp(&other[there]) {
            Ordering::Equal => (both, here, there) = (both + 1, here + 1, there + 1),
            Ordering::Less => here += 1,
            Ordering::Greater => there += 1,
        }
    }
    let all = one.len() + other.len();
    if all == 0 { 0.0 } else { 2.0 * f64::from(both) / all as f64 }
}

/// Case and white space folded, punctuation taken off both ends.
fn fold(query: &str) -> String {
    const ENDS: &str = "?!.,;:…¿¡？！。，、؟،।";
    let spaced = query.split_whitespace().collect::<Vec<_>>().join(" ");
    spaced.to_lowercase().trim_matches(|c| c == ' ' || ENDS.contains(c)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(one: &str, other: &str) -> Option<f64> {
        Query::new(one).similarity(&Query::new(other))
    }

    #[test]
    fn the_measures_are_mixed_as_worked_out_by_hand() {
        // Words 2 of 3 and 2 of 2; trigrams 2 × 11 of 11 + 19; 11 of 19 letters.
        let by_hand = 0.3 * 2.0 / 3.0 + 0.5 + 0.1 * 22.0 / 30.0 + 0.1 * 11.0 / 19.0;
        let found = similarity("alpha bravo", "Alpha  bravo charlie!").expect("there are words");
        assert!((found - by_hand).abs() < 1e-12, "{found} is not {by_hand}");
        assert_eq!(similarity("alpha bravo", "alpha bravo."), Some(1.0));
        assert_eq!(similarity("alpha bravo", "…"), None);
    }

    #[test]
    fn another_number_or_another_content_word_halves() {
        let same = similarity("convert 15 usd into euro", "convert 15 usd to euro").expect("words");
        let other = similarity("convert 15 usd into euro", "convert 90 usd to euro").expect("words");
        assert!(same > 0.9 && other < 0.5, "{same} {other}");
        let other = similarity("opening hours in Hamburg", "opening hours in Munich").expect("words");
        assert!(other < 0.5, "{other}");
        // In a long query one word more or less changes little.
        let long = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima";
        let swapped = similarity(&format!("{long} mike"), &format!("{long} november")).expect("words");
        assert!(swapped > 0.8, "{swapped}");
    }

    #[test]
    fn a_misspelt_word_is_the_word_and_function_words_alone_are_nothing() {
        assert!(similarity("recieve notifications", "receive notification").expect("words") > 0.8);
        assert!(similarity("why?", "Why is the sky blue?").expect("words") < 0.3);
    }

    #[test]
    fn a_pasted_document_is_cut_and_no_limit_is_passed() {
        let long: String = (0..20_000).map(|index| format!("word{} ", index % 977)).collect();
        let words: String =
            (0..2_000).map(|index| format!("{}x ", "abcdefghij".repeat(1 + index % 3))).collect();
        assert!(similarity(&long, &format!("{long} and more")).expect("words") > 0.99);
        assert!(similarity(&long, &words).is_some());
        assert!(!Query::new(&long).is_same(&Query::new(&format!("{long} and more"))));
    }
}
