//! Finding a quotation in a text, as models quote: they change white space,
//! case and the kind of quotation mark, and put marks or dots around it.
//!
//! Nothing else is forgiven. A quotation in other words is none.

/// A quotation of fewer letters and digits grounds nothing, unless it is the
/// whole text: "a" is in every answer.
const CHARACTERS_MIN: usize = 3;

/// The text's own words for a quotation; none where they are not in it.
///
/// ```
/// use assay_plugin::quotes::find;
///
/// let text = "It costs  “five”\neuros a day.";
/// assert_eq!(find(text, "costs \"five\" EUROS..."), Some("costs  “five”\neuros"));
/// assert_eq!(find(text, "costs six euros"), None);
/// ```
pub fn find<'a>(text: &'a str, quote: &str) -> Option<&'a str> {
    let text_read = Reading::new(text);
    find_read(text, &text_read, quote).or_else(|| {
        // A model that was shown JSON may copy its escapes.
        if !quote.contains('\\') {
            return None;
        }
        let unescaped: String = serde_json::from_str(&format!("\"{quote}\"")).ok()?;
        find_read(text, &text_read, &unescaped)
    })
}

/// At most so many bytes of a text, with a mark where it was cut.
pub fn shortened(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max { text.to_owned() } else { format!("{}…", head(text, bytes_max)) }
}

/// At most so many bytes from a text's start: of a long quotation a part that
/// is in the text all the same.
pub fn head(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

fn find_read<'a>(text: &'a str, text_read: &Reading, quote: &str) -> Option<&'a str> {
    let whole = Reading::new(quote).characters;
    let bare = Reading::new(quote.trim().trim_matches(is_around_a_quote)).characters;
    [whole, bare].into_iter().find_map(|quote| {
        let counted = quote.chars().filter(|c| c.is_alphanumeric()).count();
        let is_all = !quote.is_empty() && quote == text_read.characters;
        if counted < CHARACTERS_MIN && !is_all {
            return None;
        }
        let start = text_read.characters.find(&quote)?;
        let end = start + quote.len();
        let place = |at: usize| text_read.places.partition_point(|(read, _)| *read <= at) - 1;
        let first = text_read.places[place(start)].1;
        let last = text_read.places[place(end - 1)].1;
        let last_length = text[last..].chars().next().map_or(0, char::len_utf8);
        Some(text[first..last + last_length].trim())
    })
}

fn is_around_a_quote(c: char) -> bool {
    plain(c) == '"' || plain(c) == '\'' || matches!(c, '…' | '.') || c.is_whitespace()
}

/// A text as it is compared.
struct Reading {
    characters: String,
    /// For each character of the text that is read: where it begins in
    /// `characters` and in the text.
    places: Vec<(usize, usize)>,
}

impl Reading {
    fn new(text: &str) -> Self {
        let mut reading = Self { characters: String::with_capacity(text.len()), places: Vec::new() };
        for (at, c) in text.char_indices() {
            let begin = reading.characters.len();
            if c.is_whitespace() {
                if reading.characters.is_empty() || reading.characters.ends_with(' ') {
                    continue;
                }
                reading.characters.push(' ');
            } else {
                reading.characters.extend(plain(c).to_lowercase());
            }
            reading.places.push((begin, at));
        }
        if reading.characters.ends_with(' ') {
            reading.characters.pop();
            reading.places.pop();
        }
        reading
    }
}

/// One of each kind of quotation mark and dash.
fn plain(c: char) -> char {
    match c {
        '“' | '”' | '„' | '‟' | '«' | '»' => '"',
        '‘' | '’' | '‚' | '‛' | '‹' | '›' | '`' => '\'',
        '‐' | '‑' | '‒' | '–' | '—' => '-',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_s_own_words_are_given_back() {
        let text = "  Ich weiß es nicht:\n\n „Die ÖFFNUNGSZEITEN” — von 9–17 Uhr.  ";
        for (quote, own) in [
            ("ich weiß ES nicht", "Ich weiß es nicht"),
            ("\"Die Öffnungszeiten\" - von 9-17 Uhr", "„Die ÖFFNUNGSZEITEN” — von 9–17 Uhr"),
            ("…nicht: \"die öffnungszeiten…", "nicht:\n\n „Die ÖFFNUNGSZEITEN"),
            ("'von 9-17 Uhr.'", "von 9–17 Uhr"),
        ] {
            assert_eq!(find(text, quote), Some(own), "{quote}");
        }
    }

    #[test]
    fn escapes_of_json_are_read_where_the_plain_quote_is_not_found() {
        assert_eq!(find("one\ntwo \"three\"", "one\\ntwo \\\"three\\\""), Some("one\ntwo \"three\""));
        assert_eq!(find("a C:\\new path", "C:\\new path"), Some("C:\\new path"));
    }

    #[test]
    fn nothing_is_found_for_other_words_nothing_and_next_to_nothing() {
        for quote in ["", " ", "…", "\"\"", "a", "it", "costs 5 euros", "euros costs"] {
            assert_eq!(find("It costs five euros.", quote), None, "{quote}");
        }
        assert_eq!(find("42", "42"), Some("42"));
        assert_eq!(find("42", "4"), None);
        assert_eq!(find("", ""), None);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(head("über", 1), "");
        assert_eq!(head("über", 2), "ü");
        assert_eq!(shortened("über", 3), "üb…");
        assert_eq!(shortened("über", 5), "über");
    }

    #[test]
    fn characters_that_grow_in_lower_case_keep_their_places() {
        assert_eq!(find("İİİ İstanbul ist schön", "istanbul ist schön"), None);
        assert_eq!(find("İİİ İstanbul ist schön", "İstanbul ist"), Some("İstanbul ist"));
    }
}
