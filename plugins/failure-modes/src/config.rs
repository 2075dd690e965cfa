//! The configuration, as users write it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Mode;

/// Configuration of the plugin `failure-modes`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Modes that are not looked for.
    pub off: BTreeSet<Mode>,
    /// Labels of less confidence are left out; 0 to 1.
    pub confidence_min: f64,
    /// When an answer took too long.
    pub timeout: TimeoutConfig,
    /// What refuses beside what the plugin knows.
    pub refusal: RefusalConfig,
    /// The form that an answer must have; without it no form is wrong.
    pub wrong_format: Option<FormatConfig>,
    /// Which language an answer must have.
    pub wrong_language: LanguageConfig,
    /// What repeats itself.
    pub repetition: RepetitionConfig,
    /// What gives the system message away.
    pub leaked_prompt: LeakConfig,
    /// Which tools there are.
    pub unsupported_tool_call: ToolConfig,
}

/// When an answer took too long.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutConfig {
    /// An answer that took longer timed out, also where it came.
    pub total_s_max: Option<f64>,
}

/// What refuses beside what the plugin knows.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RefusalConfig {
    /// Regular expressions; one that matches an answer makes it a refusal.
    pub patterns: Vec<String>,
    /// Regular expressions of answers that are no refusal, whatever they look
    /// like.
    pub except: Vec<String>,
}

/// The form that an answer must have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FormatConfig {
    /// One JSON value.
    Json {
        /// Fields that the object must have.
        #[serde(default)]
        required: Vec<String>,
        /// Where the JSON stands.
        #[serde(default)]
        extract: Extract,
    },
    /// A regular expression that must match.
    Regex {
        /// The expression.
        pattern: String,
    },
    /// One of some texts; case and white space around it do not count.
    OneOf {
        /// The texts.
        values: Vec<String>,
    },
}

/// Where JSON stands in an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Extract {
    /// The whole answer.
    #[default]
    Whole,
    /// The first fenced code block; the whole answer where there is none.
    Fenced,
}

/// Which language an answer must have.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageConfig {
    /// Codes of ISO 639-1 or 639-3, any of which is right; without them it is
    /// the query's language.
    pub languages: Vec<String>,
    /// Shorter texts, in letters, are not looked at.
    pub letters_min: usize,
}

impl Default for LanguageConfig {
    fn default() -> Self {
        Self { languages: Vec::new(), letters_min: 60 }
    }
}

/// What repeats itself.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RepetitionConfig {
    /// So many times one after the other is a loop.
    pub times_min: usize,
    /// The repeated part must be so many characters in all.
    pub characters_min: usize,
}

impl Default for RepetitionConfig {
    fn default() -> Self {
        Self { times_min: 5, characters_min: 120 }
    }
}

/// What gives the system message away.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeakConfig {
    /// So many words in a row that also stand in a system message.
    pub words_min: usize,
    /// Texts of the system message that an answer may repeat.
    pub allowed: Vec<String>,
}

impl Default for LeakConfig {
    fn default() -> Self {
        Self { words_min: 20, allowed: Vec::new() }
    }
}

/// Which tools there are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ToolConfig {
    /// Names of the product's tools; without them every name is supported.
    pub tools: Option<Vec<String>>,
}
