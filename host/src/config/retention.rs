//! Settings of how long what production sent is kept.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// How long things are kept, in days. What is missing is kept for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Interactions, with their scores and signals, from their start on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interactions_days: Option<u32>,
    /// Events, from when they happened on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_days: Option<u32>,
    /// Signals, from the end of their session on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signals_days: Option<u32>,
    /// Items and scores of runs that are over, from when the run was asked for
    /// on; its figures stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_days: Option<u32>,
    /// Transcripts of judges, from when they were asked on. A reply that is gone
    /// serves no more from the cache, and its run cannot be replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcripts_days: Option<u32>,
}

impl Retention {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let settings = [
            ("retention.interactions_days", self.interactions_days),
            ("retention.events_days", self.events_days),
            ("retention.signals_days", self.signals_days),
            ("retention.runs_days", self.runs_days),
            ("retention.transcripts_days", self.transcripts_days),
        ];
        for (key, days) in settings {
            if days == Some(0) {
                let message = "at least 1; leave it out to keep everything".into();
                return Err(ConfigError::Value { key, message });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_days_is_no_way_to_keep_everything() {
        assert!(Retention::default().check().is_ok());
        let error = Retention { runs_days: Some(0), ..Retention::default() }.check().expect_err("no days");
        assert!(error.to_string().starts_with("the setting `retention.runs_days` is wrong"), "{error}");
    }
}
