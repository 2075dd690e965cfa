//! A scorer for answers that end in a number, such as worked maths problems.

use assay_plugin::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// What stands before the final number; without it the last number counts
    #[serde(default)]
    marker: Option<String>,
}

/// The final number of the answer equals the expected one
#[scorer]
fn final_number(config: &Config, item: &Interaction) -> bool {
    let marker = config.marker.as_deref();
    // No number is no answer: nothing on both sides must not count as equal.
    let Some(actual) = last_number(&item.actual, marker) else { return false };
    item.expected
        .iter()
        .filter_map(|expected| last_number(expected, marker))
        .any(|expected| actual == expected)
}

/// The last number after the marker's last place; of the whole text where the
/// marker is not there. Thousands commas and currency signs are fine.
fn last_number(text: &str, marker: Option<&str>) -> Option<f64> {
    let tail = match marker.and_then(|marker| text.rsplit_once(marker)) {
        Some((_, tail)) => tail.lines().next().unwrap_or(""),
        None => text,
    };
    tail.split(|c: char| !(c.is_ascii_digit() || ".,-".contains(c)))
        .filter_map(|word| word.replace(',', "").trim_end_matches(['.', '-']).parse::<f64>().ok())
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(actual: &str, expected: &str) -> bool {
        let config = Config { marker: Some("A:".into()) };
        final_number(&config, &Interaction::new("q", actual).with_expected([expected]))
    }

    #[test]
    fn compares_numbers_and_not_texts() {
        assert!(holds("She has 3 left.\nA: $1,200.00.", "1200"));
        assert!(holds("A: -4", "A: -4"));
        assert!(!holds("A: 4", "5"));
    }

    #[test]
    fn an_answer_or_a_reference_without_a_number_is_not_correct() {
        assert!(!holds("I do not know", "no number"));
        assert!(!holds("", "3"));
        assert!(!holds("3", "none"));
        assert!(!holds("It was 3.\nA: unknown", "3"));
    }
}
