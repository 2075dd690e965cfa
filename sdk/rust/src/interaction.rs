//! Constructors of the contract's records, for tests above all.

use crate::{Interaction, Label, PluginError, Score, Session, Timing, Usage, Value};

impl Interaction {
    /// A query and its answer; all else is missing.
    pub fn new(query: impl Into<String>, actual: impl Into<String>) -> Self {
        Self {
            id: String::new(),
            query: query.into(),
            query_media: Vec::new(),
            actual: actual.into(),
            actual_media: Vec::new(),
            expected: Vec::new(),
            history: Vec::new(),
            documents: Vec::new(),
            tool_calls: Vec::new(),
            timing: Timing { started_at_us: None, total_us: None, first_token_us: None, streamed: None },
            usage: Usage {
                input: None,
                output: None,
                cached_input: None,
                cache_write_input: None,
                reasoning: None,
            },
            model: None,
            finish_reason: None,
            error: None,
            request_class: None,
            template: None,
            template_version: None,
            metadata: Vec::new(),
            extra_json: None,
        }
    }

    /// With acceptable answers.
    pub fn with_expected<T: Into<String>>(mut self, expected: impl IntoIterator<Item = T>) -> Self {
        self.expected = expected.into_iter().map(Into::into).collect();
        self
    }
}

impl Score {
    /// A score with nothing beside its value.
    pub fn new(output: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            output: output.into(),
            value: value.into(),
            reason: None,
            evidence: Vec::new(),
            extra_json: None,
        }
    }

    /// With a reason for people.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl Label {
    /// A failure mode with its confidence in [0, 1] and nothing beside it.
    pub fn new(failure_mode: impl Into<String>, confidence: f64) -> Self {
        Self {
            failure_mode: failure_mode.into(),
            confidence,
            reason: None,
            evidence: Vec::new(),
            extra_json: None,
        }
    }
}

impl Session {
    /// A session of these interactions; all else is missing.
    pub fn new(interactions: impl IntoIterator<Item = Interaction>) -> Self {
        Self {
            id: String::new(),
            user: None,
            interactions: interactions.into_iter().collect(),
            events: Vec::new(),
            extra_json: None,
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Boolean(yes)
    }
}

impl PluginError {
    /// The item is nothing for this plugin; it counts as skipped.
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Self::Unsupported(reason.into())
    }

    /// The item cannot be read; it counts as skipped.
    pub fn bad_input(reason: impl Into<String>) -> Self {
        Self::BadInput(reason.into())
    }
}
