//! The plugin `failure-modes`: failures that can be seen without a model.
//!
//! Each mode has a file. A detector says nothing where it is unsure: what
//! failed and has no label is still shown by the host, as unclassified.

mod config;
mod delivery;
mod detectors;
mod format;
mod language;
mod leak;
mod phrases;
mod refusal;
mod repetition;
mod tools;
mod truncated;

use assay_plugin::prelude::*;

pub use config::{
    Config, Extract, FormatConfig, LanguageConfig, LeakConfig, RefusalConfig, RepetitionConfig,
    TimeoutConfig, ToolConfig,
};
pub use detectors::Detectors;

/// A failure mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The product failed and gave no answer, or told its own error.
    Error,
    /// The product gave up waiting, or took too long.
    Timeout,
    /// The answer was cut.
    Truncated,
    /// There is no answer and no error.
    Empty,
    /// The answer declines.
    Refusal,
    /// The answer does not have the form that it must have.
    WrongFormat,
    /// The answer is in another language than it must be.
    WrongLanguage,
    /// The answer goes round in circles.
    Repetition,
    /// The answer repeats the system message.
    LeakedPrompt,
    /// A tool was called that there is not, or in a way that cannot be read.
    UnsupportedToolCall,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 10] = [
        Self::Error,
        Self::Timeout,
        Self::Truncated,
        Self::Empty,
        Self::Refusal,
        Self::WrongFormat,
        Self::WrongLanguage,
        Self::Repetition,
        Self::LeakedPrompt,
        Self::UnsupportedToolCall,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Truncated => "truncated",
            Self::Empty => "empty",
            Self::Refusal => "refusal",
            Self::WrongFormat => "wrong_format",
            Self::WrongLanguage => "wrong_language",
            Self::Repetition => "repetition",
            Self::LeakedPrompt => "leaked_prompt",
            Self::UnsupportedToolCall => "unsupported_tool_call",
        }
    }
}

/// Finds failures that need no model to be seen: errors, cut, empty, refused, looping answers and more
#[classifier(name = "failure-modes", prepare = Detectors::new, outputs = Detectors::outputs)]
fn failure_modes(detectors: &Detectors, item: &Interaction) -> Vec<Label> {
    detectors.labels(item)
}
