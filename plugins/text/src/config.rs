//! The configuration, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

/// Configuration of the plugin `text`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The checks; each gives one output.
    pub checks: Vec<CheckConfig>,
}

/// One check.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CheckConfig {
    /// Name of the output; the kind where it is missing.
    #[serde(default)]
    pub name: Option<String>,
    /// Turn the result round: yes becomes no, a similarity `s` becomes `1 - s`.
    #[serde(default)]
    pub negate: bool,
    /// What is checked.
    #[serde(flatten)]
    pub kind: Kind,
}

/// The kinds of check, with their options.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// The answer is one of the expected ones, or the given value.
    Equals {
        /// Compare with this instead of the expected answers.
        #[serde(default)]
        value: Option<String>,
        /// Upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
        /// White space at both ends counts.
        #[serde(default)]
        keep_space: bool,
    },
    /// The answer holds any or all of some texts; any of the expected answers
    /// where neither list is given.
    Contains {
        /// At least one of these.
        #[serde(default)]
        any: Vec<String>,
        /// All of these.
        #[serde(default)]
        all: Vec<String>,
        /// Upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// The answer starts with one of some texts; with one of the expected
    /// answers where none is given.
    StartsWith {
        /// One of these.
        #[serde(default)]
        any: Vec<String>,
        /// Upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// The answer matches every pattern of `must` and none of `must_not`.
    Regex {
        /// Patterns that have to match somewhere.
        #[serde(default)]
        must: Vec<String>,
        /// Patterns that may match nowhere.
        #[serde(default)]
        must_not: Vec<String>,
    },
    /// Similarity with the nearest expected answer: 1 minus the Levenshtein
    /// distance over the longer length, in characters.
    Levenshtein {
        /// Compare with this instead of the expected answers.
        #[serde(default)]
        value: Option<String>,
        /// Upper and lower case are the same.
        #[serde(default)]
        ignore_case: bool,
    },
    /// The answer's length lies between two bounds, both included.
    Length {
        /// The least length.
        #[serde(default)]
        min: Option<u64>,
        /// The greatest length.
        #[serde(default)]
        max: Option<u64>,
        /// What is counted.
        #[serde(default)]
        unit: LengthUnit,
    },
}

/// What a length counts.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LengthUnit {
    /// Unicode scalar values.
    #[default]
    Characters,
    /// Runs of characters between white space.
    Words,
}
