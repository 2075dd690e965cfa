//! The configuration, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Configuration of the plugin `structured`.
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
    /// Turn the result round.
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
    /// The answer is one JSON value.
    JsonValid {
        /// Where the JSON stands.
        #[serde(default)]
        extract: Extract,
    },
    /// The answer is JSON that satisfies a schema.
    JsonSchema {
        /// The JSON Schema; draft 2020-12 unless `$schema` says otherwise.
        schema: Value,
        /// Where the JSON stands.
        #[serde(default)]
        extract: Extract,
    },
    /// The answer is a number close to the expected one: within the absolute
    /// or the relative tolerance, whichever is wider.
    Numeric {
        /// Compare with this instead of the expected answers.
        #[serde(default)]
        value: Option<f64>,
        /// The greatest difference.
        #[serde(default)]
        absolute: f64,
        /// The greatest difference as a share of the expected number.
        #[serde(default)]
        relative: f64,
        /// JSON Pointer to the number in an answer that is JSON; without it
        /// the answer is the number itself.
        #[serde(default)]
        pointer: Option<String>,
        /// Where the JSON stands, with `pointer`.
        #[serde(default)]
        extract: Extract,
    },
}

/// Where JSON stands in an answer.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Extract {
    /// The whole answer.
    #[default]
    Whole,
    /// The first fenced code block; the whole answer where there is none.
    Fenced,
}
