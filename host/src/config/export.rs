//! Settings of what is sent to other systems.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::domain::target::KeySource;

/// What is sent to other systems.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// Scores, to a collector; none without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<OtlpExport>,
}

/// Scores of production, as events to an OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpExport {
    /// Base URL of OTLP over HTTP, such as `http://localhost:4318`.
    pub endpoint: String,
    /// Headers; where each value is: `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, KeySource>,
    /// Between two looks at what is new, in seconds.
    #[serde(default = "ten")]
    pub interval_s: u32,
}

fn ten() -> u32 {
    10
}

impl Export {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
        let Some(otlp) = &self.otlp else { return Ok(()) };
        if !otlp.endpoint.starts_with("http://") && !otlp.endpoint.starts_with("https://") {
            return wrong("export.otlp.endpoint", "it begins with `http://` or `https://`");
        }
        if otlp.interval_s == 0 {
            return wrong("export.otlp.interval_s", "at least 1");
        }
        Ok(())
    }
}
