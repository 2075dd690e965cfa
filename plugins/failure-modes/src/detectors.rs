//! A configuration that was checked: patterns are compiled once a batch.

use assay_plugin::prelude::*;
use regex::{Regex, RegexBuilder};
use whatlang::Lang;

use crate::config::{Config, FormatConfig};
use crate::{Mode, delivery, format, language, leak, refusal, repetition, tools, truncated};

/// A pattern may not compile to more than this many bytes.
const PATTERN_BYTES_MAX: usize = 10 << 20;

/// What looks for failures.
#[derive(Debug)]
pub struct Detectors {
    /// As it was written.
    pub config: Config,
    /// What refuses beside what the plugin knows.
    pub refusals: Vec<Regex>,
    /// What is no refusal.
    pub no_refusals: Vec<Regex>,
    /// The form that an answer must have, where that is a pattern.
    pub format: Option<Regex>,
    /// The languages that are right; empty where the query's is.
    pub languages: Vec<Lang>,
}

impl Detectors {
    /// Checks a configuration.
    pub fn new(config: Config) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |path: &str, message: String| problems.push(Problem { path: path.into(), message });
        if !(0.0..=1.0).contains(&config.confidence_min) {
            problem("/confidence_min", format!("{} is not 0 to 1", config.confidence_min));
        }
        if let Some(seconds) = config.timeout.total_s_max
            && !(seconds.is_finite() && seconds > 0.0)
        {
            problem("/timeout/total_s_max", format!("{seconds} is no number of seconds over 0"));
        }
        if config.repetition.times_min < 2 {
            problem("/repetition/times_min", "what stands there once is not repeated".into());
        }
        if !(4..=1000).contains(&config.leaked_prompt.words_min) {
            problem(
                "/leaked_prompt/words_min",
                format!("{} is not 4 to 1000", config.leaked_prompt.words_min),
            );
        }
        let languages = config.wrong_language.languages.iter().enumerate().filter_map(|(index, code)| {
            let language = language::from_code(code);
            if language.is_none() {
                problem(
                    &format!("/wrong_language/languages/{index}"),
                    format!("`{code}` is no language that can be told"),
                );
            }
            language
        });
        let languages = languages.collect();
        let mut compiled = |path: String, pattern: &str| -> Option<Regex> {
            match RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build() {
                Ok(regex) => Some(regex),
                Err(error) => {
                    problem(&path, error.to_string());
                    None
                }
            }
        };
        let mut all = |list: &str, patterns: &[String]| -> Vec<Regex> {
            let patterns = patterns.iter().enumerate();
            patterns.filter_map(|(at, pattern)| compiled(format!("/refusal/{list}/{at}"), pattern)).collect()
        };
        let (refusals, no_refusals) =
            (all("patterns", &config.refusal.patterns), all("except", &config.refusal.except));
        let format = match &config.wrong_format {
            Some(FormatConfig::Regex { pattern }) => compiled("/wrong_format/pattern".into(), pattern),
            Some(FormatConfig::OneOf { values }) if values.is_empty() => {
                problem("/wrong_format/values", "no answer would be right".into());
                None
            }
            _ => None,
        };
        let detectors = Self { config, refusals, no_refusals, format, languages };
        if problems.is_empty() && detectors.modes().is_empty() {
            problems.push(Problem { path: "/off".into(), message: "nothing is left to look for".into() });
        }
        if problems.is_empty() { Ok(detectors) } else { Err(problems) }
    }

    /// The modes that are looked for.
    pub fn modes(&self) -> Vec<Mode> {
        let on = |mode: &Mode| {
            !self.config.off.contains(mode)
                && (*mode != Mode::WrongFormat || self.config.wrong_format.is_some())
        };
        Mode::ALL.into_iter().filter(on).collect()
    }

    /// The one output: which of the modes.
    pub fn outputs(&self) -> Vec<Output> {
        vec![Output {
            name: "failure-modes".into(),
            capability: Capability::Label,
            kind: OutputKind::Category(self.modes().iter().map(|mode| mode.as_str().to_owned()).collect()),
            direction: Direction::Neutral,
            description: Some("Failures that need no model to be seen".into()),
        }]
    }

    /// The failures of one interaction, most of which have none.
    pub fn labels(&self, item: &Interaction) -> Vec<Label> {
        let detect = |mode| match mode {
            Mode::Error => delivery::error(item),
            Mode::Timeout => delivery::timeout(item, &self.config.timeout),
            Mode::Truncated => truncated::find(item),
            Mode::Empty => delivery::empty(item),
            Mode::Refusal => refusal::find(item, self),
            Mode::WrongFormat => format::find(item, self),
            Mode::WrongLanguage => language::find(item, self),
            Mode::Repetition => repetition::find(item, &self.config.repetition),
            Mode::LeakedPrompt => leak::find(item, &self.config.leaked_prompt),
            Mode::UnsupportedToolCall => tools::find(item, &self.config.unsupported_tool_call),
        };
        let found = self.modes().into_iter().filter_map(detect);
        found.filter(|label| label.confidence >= self.config.confidence_min).collect()
    }
}

/// A label without a quotation.
pub fn label(mode: Mode, confidence: f64, reason: impl Into<String>) -> Label {
    Label::new(mode.as_str(), confidence).because(reason)
}

/// A label with a quotation of the answer.
pub fn quoting(mode: Mode, confidence: f64, reason: impl Into<String>, quote: &str) -> Label {
    let quote = assay_plugin::quotes::head(quote, 500);
    label(mode, confidence, reason).grounded_in(Evidence::new("actual", quote))
}
