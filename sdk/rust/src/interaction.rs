//! Constructors of the contract's records, for tests above all.

use crate::{Event, Evidence, Interaction, Label, PluginError, Score, Session, Signal, Timing, Usage, Value};

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

    /// With an id, which events and signals name.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// With its start and how long the whole answer took, in microseconds.
    pub fn at(mut self, started_at_us: i64, total_us: u64) -> Self {
        self.timing.started_at_us = Some(started_at_us);
        self.timing.total_us = Some(total_us);
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

    /// With one more quotation that grounds it.
    pub fn grounded_in(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// With a JSON object for what has no field.
    pub fn with_extra(mut self, json: impl Into<String>) -> Self {
        self.extra_json = Some(json.into());
        self
    }
}

impl Evidence {
    /// A quotation from a field: `query`, `actual`, `expected`, `history`,
    /// `documents` or `tool-calls`.
    pub fn new(field: impl Into<String>, quote: impl Into<String>) -> Self {
        Self { field: field.into(), quote: quote.into() }
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

    /// With a reason for people.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// With one more quotation that grounds it.
    pub fn grounded_in(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// With a JSON object for what has no field.
    pub fn with_extra(mut self, json: impl Into<String>) -> Self {
        self.extra_json = Some(json.into());
        self
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

    /// With what the user did, in order of time.
    pub fn with_events(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        self.events = events.into_iter().collect();
        self
    }
}

impl Event {
    /// Something that the user did, at an instant in microseconds; it names no
    /// interaction.
    pub fn new(kind: impl Into<String>, at_us: i64) -> Self {
        Self { at_us, kind: kind.into(), interaction_id: None, value_json: None }
    }

    /// About the interaction with this id.
    pub fn about(mut self, interaction_id: impl Into<String>) -> Self {
        self.interaction_id = Some(interaction_id.into());
        self
    }

    /// With a value: JSON text.
    pub fn with_value(mut self, json: impl Into<String>) -> Self {
        self.value_json = Some(json.into());
        self
    }
}

impl Signal {
    /// A signal about the whole session, with nothing beside its value.
    pub fn new(output: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            output: output.into(),
            interaction_id: None,
            value: value.into(),
            reason: None,
            extra_json: None,
        }
    }

    /// About the interaction with this id, which is one of the session's.
    pub fn about(mut self, interaction_id: impl Into<String>) -> Self {
        self.interaction_id = Some(interaction_id.into());
        self
    }

    /// With a reason for people.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
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
