//! What a plugin says of itself and answers: the contract's records, free of
//! any binding.
//!
//! These types cross the worker protocol, which is not self-describing, so
//! their serde forms stay plain: no untagged enums, no skipped fields.

use serde::{Deserialize, Serialize};

/// What a plugin can do, by the interfaces that its component exports.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Gives scores.
    Score,
    /// Gives failure modes.
    Label,
    /// Gives behavioural signals.
    Signal,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 3] = [Self::Score, Self::Label, Self::Signal];

    /// The interface of the contract that a component exports for it.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Score => "scoring",
            Self::Label => "classification",
            Self::Signal => "extraction",
        }
    }
}

/// A plugin's own words about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Lower-case words joined by hyphens; the plugin's identity for users.
    pub name: String,
    /// Semantic version of the plugin.
    pub version: String,
    /// One line for people.
    pub title: String,
    /// The same input and configuration always give the same answer.
    pub deterministic: bool,
    /// JSON Schema of the configuration.
    pub config_schema_json: String,
    /// The most items that one batch may hold.
    pub batch_max: u32,
    /// What the component exports.
    pub capabilities: Vec<Capability>,
    /// Whether it asks a judge.
    #[serde(default)]
    pub judges: bool,
}

/// What an output's value may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// A number in a closed range.
    Number {
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
    /// Yes or no; counts as 1 and 0.
    Boolean,
    /// One of these names.
    Category(Vec<String>),
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Direction {
    HigherIsBetter,
    LowerIsBetter,
    Neutral,
}

/// One output of a configured plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Output {
    /// Name, unique within the plugin's configuration.
    pub name: String,
    /// Which function gives it.
    pub capability: Capability,
    /// What its value may be.
    pub kind: OutputKind,
    /// Which way is better.
    pub direction: Direction,
    /// One line for people.
    pub description: Option<String>,
}

/// Something wrong with a plugin's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// JSON Pointer into the configuration; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// A value of an output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Value {
    Number(f64),
    Boolean(bool),
    Category(String),
}

/// Where in the interaction a claim is grounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// Field of the interaction.
    pub field: String,
    /// Text that stands there.
    pub quote: String,
}

/// A scorer's answer for one output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Name of a declared output.
    pub output: String,
    /// Its value.
    pub value: Value,
    /// Why, for people.
    pub reason: Option<String>,
    /// What it stands on.
    pub evidence: Vec<Evidence>,
    /// A JSON value for what has no field yet.
    pub extra_json: Option<String>,
}

/// An extractor's answer: one behavioural fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Name of a declared output.
    pub output: String,
    /// The interaction that it judges; none for the whole session.
    pub interaction_id: Option<String>,
    /// Its value.
    pub value: Value,
    /// Why, for people.
    pub reason: Option<String>,
    /// A JSON value for what has no field yet.
    pub extra_json: Option<String>,
}

/// Why an item has no answer, in the plugin's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginError {
    /// Which kind.
    pub kind: PluginErrorKind,
    /// The input and the reason.
    pub message: String,
}

/// The contract's kinds of error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum PluginErrorKind {
    BadConfig,
    BadInput,
    Unsupported,
    HostDenied,
    HostUnavailable,
    BudgetExhausted,
    Internal,
}

/// Cuts a plugin's words where they are too long; `…` stands for the rest.
pub fn shortened(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

/// What became of one (item, scorer) that has no score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unscored {
    /// Why.
    pub cause: Cause,
    /// The input and the reason.
    pub message: String,
}

/// Why an (item, scorer) has no score. Each is either failed or skipped.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The plugin trapped; the message holds its panic text where there is one.
    Trap,
    /// The deadline passed.
    Timeout,
    /// The plugin asked for more memory than it may have.
    OutOfMemory,
    /// The answer does not fit the declared outputs or the items.
    WrongShape,
    /// The worker process died while it ran this item.
    WorkerDied,
    /// The plugin failed on so many items that the rest were not tried.
    PluginUnhealthy,
    /// The component could not be loaded.
    NotLoaded,
    /// The plugin refused its configuration.
    BadConfig,
    /// The plugin reported a fault of its own.
    Internal,
    /// The host refused a capability.
    HostDenied,
    /// The host could not serve a capability.
    HostUnavailable,
    /// Skipped: the item is nothing for this plugin.
    BadInput,
    /// Skipped: the plugin does not do this kind of item.
    Unsupported,
    /// Skipped: a budget was used up.
    BudgetExhausted,
    /// Skipped: the item is larger than a batch may be.
    TooLarge,
    /// Skipped: the plugin gave other outputs but not this one.
    NoOutput,
    /// Skipped: the product gave no answer to score.
    NoAnswer,
}

impl Cause {
    /// Every cause, in the order that reports use.
    pub const ALL: [Self; 17] = [
        Self::Trap,
        Self::Timeout,
        Self::OutOfMemory,
        Self::WrongShape,
        Self::WorkerDied,
        Self::PluginUnhealthy,
        Self::NotLoaded,
        Self::BadConfig,
        Self::Internal,
        Self::HostDenied,
        Self::HostUnavailable,
        Self::BadInput,
        Self::Unsupported,
        Self::BudgetExhausted,
        Self::TooLarge,
        Self::NoOutput,
        Self::NoAnswer,
    ];

    /// Whether it counts as skipped (not applicable) rather than failed.
    pub fn is_skip(self) -> bool {
        match self {
            Self::BadInput
            | Self::Unsupported
            | Self::BudgetExhausted
            | Self::TooLarge
            | Self::NoOutput
            | Self::NoAnswer => true,
            Self::Trap
            | Self::Timeout
            | Self::OutOfMemory
            | Self::WrongShape
            | Self::WorkerDied
            | Self::PluginUnhealthy
            | Self::NotLoaded
            | Self::BadConfig
            | Self::Internal
            | Self::HostDenied
            | Self::HostUnavailable => false,
        }
    }

    /// The word that JSON and SQL use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::WrongShape => "wrong_shape",
            Self::WorkerDied => "worker_died",
            Self::PluginUnhealthy => "plugin_unhealthy",
            Self::NotLoaded => "not_loaded",
            Self::BadConfig => "bad_config",
            Self::Internal => "internal",
            Self::HostDenied => "host_denied",
            Self::HostUnavailable => "host_unavailable",
            Self::BadInput => "bad_input",
            Self::Unsupported => "unsupported",
            Self::BudgetExhausted => "budget_exhausted",
            Self::TooLarge => "too_large",
            Self::NoOutput => "no_output",
            Self::NoAnswer => "no_answer",
        }
    }

    /// The cause that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == word)
    }
}

impl From<PluginError> for Unscored {
    fn from(error: PluginError) -> Self {
        let cause = match error.kind {
            PluginErrorKind::BadConfig => Cause::BadConfig,
            PluginErrorKind::BadInput => Cause::BadInput,
            PluginErrorKind::Unsupported => Cause::Unsupported,
            PluginErrorKind::HostDenied => Cause::HostDenied,
            PluginErrorKind::HostUnavailable => Cause::HostUnavailable,
            PluginErrorKind::BudgetExhausted => Cause::BudgetExhausted,
            PluginErrorKind::Internal => Cause::Internal,
        };
        Self { cause, message: error.message }
    }
}

impl Value {
    /// The value as a number; none for a category.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Boolean(yes) => Some(f64::from(u8::from(*yes))),
            Self::Category(_) => None,
        }
    }
}

impl Output {
    /// Refuses a value that this output may not have.
    pub fn accepts(&self, value: &Value) -> Result<(), String> {
        match (&self.kind, value) {
            (OutputKind::Number { low, high }, Value::Number(number)) => {
                if number.is_nan() {
                    Err(format!("output `{}` is not a number (NaN)", self.name))
                } else if number < low || number > high {
                    Err(format!("output `{}` is {number}, outside [{low}, {high}]", self.name))
                } else {
                    Ok(())
                }
            }
            (OutputKind::Boolean, Value::Boolean(_)) => Ok(()),
            (OutputKind::Category(names), Value::Category(name)) if names.contains(name) => Ok(()),
            (OutputKind::Category(_), Value::Category(name)) => {
                Err(format!("output `{}` has no category `{name}`", self.name))
            }
            _ => Err(format!("output `{}` has a value of another kind than declared", self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> Output {
        Output {
            name: "closeness".into(),
            capability: Capability::Score,
            kind: OutputKind::Number { low: 0.0, high: 1.0 },
            direction: Direction::HigherIsBetter,
            description: None,
        }
    }

    #[test]
    fn a_value_outside_its_range_or_kind_is_refused_by_name() {
        assert_eq!(number().accepts(&Value::Number(1.0)), Ok(()));
        for value in [
            Value::Number(1.5),
            Value::Number(f64::NAN),
            Value::Number(f64::NEG_INFINITY),
            Value::Boolean(true),
            Value::Category("high".into()),
        ] {
            let reason = number().accepts(&value).expect_err("does not fit");
            assert!(reason.contains("`closeness`"), "{reason}");
        }
    }

    #[test]
    fn every_cause_has_its_own_word() {
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
            assert_eq!(serde_json::to_value(cause).expect("serialisable"), cause.as_str());
        }
        assert_eq!(Cause::parse("bored"), None);
    }
}
