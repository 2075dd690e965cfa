//! One check, ready to run: patterns are compiled once a batch.

use std::borrow::Cow;

use assay_plugin::prelude::*;
use regex::{Regex, RegexBuilder};

use crate::config::{CheckConfig, Kind, LengthUnit};

/// A pattern may not compile to more than this many bytes.
const PATTERN_BYTES_MAX: usize = 10 << 20;

/// A check that can score an item.
pub struct Check {
    name: String,
    negate: bool,
    rule: Rule,
}

enum Rule {
    Equals { value: Option<String>, ignore_case: bool, keep_space: bool },
    Contains { any: Vec<String>, all: Vec<String>, ignore_case: bool },
    StartsWith { any: Vec<String>, ignore_case: bool },
    Regex { must: Vec<Regex>, must_not: Vec<Regex> },
    Levenshtein { value: Option<String>, ignore_case: bool },
    Length { min: u64, max: u64, unit: LengthUnit },
}

impl Check {
    /// Compiles a check. `path` is the JSON Pointer to its configuration.
    pub fn new(config: CheckConfig, path: &str) -> Result<Self, Vec<Problem>> {
        let kind_name = config.kind.name();
        let problem = |below: &str, message: String| Problem { path: format!("{path}{below}"), message };
        let mut problems = Vec::new();
        let rule = match config.kind {
            Kind::Equals { value, ignore_case, keep_space } => {
                let value = value.map(|value| folded(&value, ignore_case).into_owned());
                Rule::Equals { value, ignore_case, keep_space }
            }
            Kind::Contains { any, all, ignore_case } => {
                for (list, texts) in [("any", &any), ("all", &all)] {
                    for index in empty_texts(texts) {
                        problems.push(problem(
                            &format!("/{list}/{index}"),
                            "an empty text is in every answer".into(),
                        ));
                    }
                }
                Rule::Contains {
                    any: all_folded(any, ignore_case),
                    all: all_folded(all, ignore_case),
                    ignore_case,
                }
            }
            Kind::StartsWith { any, ignore_case } => {
                for index in empty_texts(&any) {
                    problems.push(problem(
                        &format!("/any/{index}"),
                        "every answer starts with an empty text".into(),
                    ));
                }
                Rule::StartsWith { any: all_folded(any, ignore_case), ignore_case }
            }
            Kind::Regex { must, must_not } => {
                if must.is_empty() && must_not.is_empty() {
                    problems.push(problem("", "`must` or `must_not` needs a pattern".into()));
                }
                let mut compiled = |list: &str, patterns: Vec<String>| -> Vec<Regex> {
                    let mut regexes = Vec::new();
                    for (index, pattern) in patterns.iter().enumerate() {
                        match RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build() {
                            Ok(regex) => regexes.push(regex),
                            Err(error) => {
                                problems.push(problem(&format!("/{list}/{index}"), error.to_string()))
                            }
                        }
                    }
                    regexes
                };
                Rule::Regex { must: compiled("must", must), must_not: compiled("must_not", must_not) }
            }
            Kind::Levenshtein { value, ignore_case } => {
                let value = value.map(|value| folded(&value, ignore_case).into_owned());
                Rule::Levenshtein { value, ignore_case }
            }
            Kind::Length { min, max, unit } => {
                let (low, high) = (min.unwrap_or(0), max.unwrap_or(u64::MAX));
                if min.is_none() && max.is_none() {
                    problems.push(problem("", "`min` or `max` is needed".into()));
                } else if low > high {
                    problems.push(problem("/min", format!("{low} is more than the maximum {high}")));
                }
                Rule::Length { min: low, max: high, unit }
            }
        };
        let name = config.name.unwrap_or_else(|| kind_name.to_owned());
        if name.is_empty() {
            problems.push(problem("/name", "the name is empty".into()));
        }
        if problems.is_empty() { Ok(Self { name, negate: config.negate, rule }) } else { Err(problems) }
    }

    /// The output's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the host learns of this check.
    pub fn output(&self) -> Output {
        let kind = match self.rule {
            Rule::Levenshtein { .. } => OutputKind::Number(Range { low: 0.0, high: 1.0 }),
            _ => OutputKind::Boolean,
        };
        Output {
            name: self.name.clone(),
            capability: Capability::Score,
            kind,
            direction: Direction::HigherIsBetter,
            description: None,
        }
    }

    /// The item's score; none where the check compares with expected answers
    /// and the item has none.
    pub fn score(&self, item: &Interaction) -> Option<Score> {
        let actual = &item.actual;
        let holds = match &self.rule {
            Rule::Levenshtein { value, ignore_case } => {
                let actual = folded(actual, *ignore_case);
                let similarity = match value {
                    Some(value) => similarity(&actual, value),
                    None => item
                        .expected
                        .iter()
                        .map(|expected| similarity(&actual, &folded(expected, *ignore_case)))
                        .max_by(f64::total_cmp)?,
                };
                let value = if self.negate { 1.0 - similarity } else { similarity };
                return Some(Score::new(&self.name, value));
            }
            Rule::Equals { value, ignore_case, keep_space } => {
                let trimmed = |text: &'_ str| -> String {
                    let text = if *keep_space { text } else { text.trim() };
                    folded(text, *ignore_case).into_owned()
                };
                let actual = trimmed(actual);
                match value {
                    Some(value) => actual == trimmed(value),
                    None if item.expected.is_empty() => return None,
                    None => item.expected.iter().any(|expected| actual == trimmed(expected)),
                }
            }
            Rule::Contains { any, all, ignore_case } => {
                let actual = folded(actual, *ignore_case);
                if any.is_empty() && all.is_empty() {
                    if item.expected.is_empty() {
                        return None;
                    }
                    item.expected.iter().any(|expected| actual.contains(&*folded(expected, *ignore_case)))
                } else {
                    all.iter().all(|text| actual.contains(text))
                        && (any.is_empty() || any.iter().any(|text| actual.contains(text)))
                }
            }
            Rule::StartsWith { any, ignore_case } => {
                let actual = folded(actual, *ignore_case);
                if any.is_empty() {
                    if item.expected.is_empty() {
                        return None;
                    }
                    item.expected.iter().any(|expected| actual.starts_with(&*folded(expected, *ignore_case)))
                } else {
                    any.iter().any(|text| actual.starts_with(text))
                }
            }
            Rule::Regex { must, must_not } => {
                must.iter().all(|pattern| pattern.is_match(actual))
                    && !must_not.iter().any(|pattern| pattern.is_match(actual))
            }
            Rule::Length { min, max, unit } => {
                let length = match unit {
                    LengthUnit::Characters => actual.chars().count(),
                    LengthUnit::Words => actual.split_whitespace().count(),
                } as u64;
                (*min..=*max).contains(&length)
            }
        };
        Some(Score::new(&self.name, holds != self.negate))
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Equals { .. } => "equals",
            Self::Contains { .. } => "contains",
            Self::StartsWith { .. } => "starts-with",
            Self::Regex { .. } => "regex",
            Self::Levenshtein { .. } => "levenshtein",
            Self::Length { .. } => "length",
        }
    }
}

fn folded(text: &str, ignore_case: bool) -> Cow<'_, str> {
    if ignore_case { text.to_lowercase().into() } else { text.into() }
}

fn all_folded(texts: Vec<String>, ignore_case: bool) -> Vec<String> {
    texts.into_iter().map(|text| folded(&text, ignore_case).into_owned()).collect()
}

fn empty_texts(texts: &[String]) -> impl Iterator<Item = usize> {
    texts.iter().enumerate().filter(|(_, text)| text.is_empty()).map(|(index, _)| index)
}

/// In [0, 1]; two empty texts are the same.
fn similarity(one: &str, other: &str) -> f64 {
    rapidfuzz::distance::levenshtein::normalized_similarity(one.chars(), other.chars())
}

#[cfg(test)]
mod tests {
    use crate::plugin::{configure, score_batch};
    use assay_plugin::prelude::*;

    fn value(check: &str, actual: &str, expected: &[&str]) -> Option<Value> {
        let config = format!(r#"{{"checks":[{check}]}}"#);
        let item = Interaction::new("q", actual).with_expected(expected.iter().copied());
        let answers = score_batch(&config, &[item]);
        let scores = answers.into_iter().next().expect("one answer").expect("a valid configuration");
        scores.into_iter().next().map(|score| score.value)
    }

    fn holds(check: &str, actual: &str, expected: &[&str]) -> bool {
        match value(check, actual, expected) {
            Some(Value::Boolean(yes)) => yes,
            other => panic!("{check}: {other:?}"),
        }
    }

    #[test]
    fn equals_compares_with_any_expected_answer_or_a_value() {
        assert!(holds(r#"{"kind":"equals"}"#, " Paris\n", &["Rome", "Paris"]));
        assert!(!holds(r#"{"kind":"equals"}"#, "paris", &["Paris"]));
        assert!(holds(r#"{"kind":"equals","ignore_case":true}"#, "pARIS", &["Paris"]));
        assert!(!holds(r#"{"kind":"equals","keep_space":true}"#, "Paris ", &["Paris"]));
        assert!(holds(r#"{"kind":"equals","value":"yes"}"#, "yes", &[]));
        assert!(!holds(r#"{"kind":"equals","value":"yes","negate":true}"#, "yes", &[]));
    }

    #[test]
    fn contains_takes_any_all_or_the_expected_answers() {
        assert!(holds(r#"{"kind":"contains","any":["x","b"]}"#, "abc", &[]));
        assert!(!holds(r#"{"kind":"contains","all":["x","b"]}"#, "abc", &[]));
        assert!(holds(r#"{"kind":"contains","all":["C","b"],"ignore_case":true}"#, "abc", &[]));
        assert!(holds(r#"{"kind":"contains"}"#, "it is Paris.", &["Paris"]));
        assert!(holds(r#"{"kind":"contains","any":["x"],"negate":true}"#, "abc", &[]));
    }

    #[test]
    fn starts_with_takes_texts_or_the_expected_answers() {
        assert!(holds(r#"{"kind":"starts-with","any":["Dear","Hello"]}"#, "Hello you", &[]));
        assert!(!holds(r#"{"kind":"starts-with"}"#, "The Paris", &["Paris"]));
        assert!(holds(r#"{"kind":"starts-with","any":["dear"],"ignore_case":true}"#, "DEAR", &[]));
    }

    #[test]
    fn regex_needs_every_must_and_no_must_not() {
        let check = r#"{"kind":"regex","must":["^\\d+$"],"must_not":["7"]}"#;
        assert!(holds(check, "123", &[]));
        assert!(!holds(check, "127", &[]));
        assert!(!holds(check, "12a", &[]));
    }

    #[test]
    fn levenshtein_counts_characters_and_takes_the_nearest() {
        // kitten/sitting is the textbook pair: distance 3 over length 7.
        let near =
            |actual: &str, expected: &[&str]| match value(r#"{"kind":"levenshtein"}"#, actual, expected) {
                Some(Value::Number(similarity)) => similarity,
                other => panic!("{other:?}"),
            };
        assert!((near("kitten", &["far away", "sitting"]) - (1.0 - 3.0 / 7.0)).abs() < 1e-12);
        assert!((near("Zürich", &["Zurich"]) - (1.0 - 1.0 / 6.0)).abs() < 1e-12);
        assert_eq!(
            value(r#"{"kind":"levenshtein","value":"","negate":true}"#, "", &[]),
            Some(Value::Number(0.0))
        );
    }

    #[test]
    fn length_counts_characters_or_words_with_both_bounds_included() {
        assert!(holds(r#"{"kind":"length","min":2,"max":2}"#, "éé", &[]));
        assert!(!holds(r#"{"kind":"length","max":1,"unit":"words"}"#, "two words", &[]));
    }

    #[test]
    fn a_check_without_expected_answers_gives_no_score_and_the_others_do() {
        let config = r#"{"checks":[{"kind":"equals"},{"kind":"length","min":1}]}"#;
        let answers = score_batch(config, &[Interaction::new("q", "a")]);
        let scores = answers.into_iter().next().expect("one answer").expect("a valid configuration");
        assert_eq!(scores.iter().map(|score| score.output.as_str()).collect::<Vec<_>>(), ["length"]);
    }

    #[test]
    fn each_problem_of_a_configuration_has_its_pointer() {
        let cases = [
            (r#"{"checks":[]}"#, "/checks"),
            (r#"{"checks":[{"kind":"regex","must":["ok","("]}]}"#, "/checks/0/must/1"),
            (r#"{"checks":[{"kind":"length"},{"kind":"length"}]}"#, "/checks/0"),
            (r#"{"checks":[{"kind":"equals"},{"kind":"equals"}]}"#, "/checks/1/name"),
            (r#"{"checks":[{"kind":"contains","any":[""]}]}"#, "/checks/0/any/0"),
            (r#"{"checks":[{"kind":"length","min":3,"max":2}]}"#, "/checks/0/min"),
            (r#"{"checkz":[]}"#, "/checkz"),
        ];
        for (config, path) in cases {
            let problems = configure(config).expect_err(config);
            assert!(problems.iter().any(|problem| problem.path == path), "{config}: {problems:?}");
        }
        let problems = configure(r#"{"checks":[{"kind":"sparkle"}]}"#).expect_err("an unknown kind");
        assert!(problems[0].message.contains("sparkle"), "{problems:?}");
    }
}
