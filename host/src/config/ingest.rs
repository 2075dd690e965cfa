//! Settings of what comes in from production.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::evaluation::Scorer;

/// Settings of what comes in from production.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ingest {
    /// Largest body of an export or a batch, in bytes once it is unpacked.
    pub body_bytes_max: usize,
    /// What may wait to be written, in bytes; more is answered 503.
    pub queue_bytes_max: usize,
    /// The most arrivals that are written in one transaction.
    pub batch_items_max: usize,
    /// Port of the gRPC receiver, on the address of `listen`; none without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_port: Option<u16>,
    /// How long a trace waits for further spans once its root is there, in seconds.
    pub trace_settle_s: u32,
    /// How long a trace without a root waits after its last span, in seconds.
    pub trace_rootless_s: u32,
    /// How long spans are kept for those that come late, in seconds.
    pub trace_late_s: u32,
    /// A session in which nothing happened for this long is over, and a
    /// conversation goes on as another session, in seconds.
    pub session_idle_s: u32,
    /// A session is not closed before nothing was received for it for this
    /// long, in seconds.
    pub session_quiet_s: u32,
    /// What is replaced before anything is stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<RedactionRule>,
    /// Which kind of request an interaction is; the first rule that fits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassRule>,
}

impl Default for Ingest {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 << 20,
            queue_bytes_max: 64 << 20,
            batch_items_max: 2_000,
            grpc_port: None,
            trace_settle_s: 5,
            trace_rootless_s: 60,
            trace_late_s: 3_600,
            session_idle_s: 1_800,
            session_quiet_s: 60,
            redact: Vec::new(),
            classes: Vec::new(),
        }
    }
}

/// Settings of what is read from users' behaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// The plugins that read every closed session.
    pub extractors: Vec<Scorer>,
}

impl Default for Behaviour {
    fn default() -> Self {
        let config = serde_json::json!({});
        Self { extractors: vec![Scorer { plugin: "behaviour".into(), digest: None, name: None, config }] }
    }
}

/// What is replaced before anything is stored: a pattern by name, or an
/// expression of the team's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactionRule {
    /// `email`, `phone`, `card`, `iban` or `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A regular expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// What stands there instead; the pattern's name in brackets where it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// Where; every text but the user's name where it is empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<RedactedField>,
}

/// A text that a redaction rule may speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RedactedField {
    Query,
    Answer,
    Expected,
    History,
    Documents,
    ToolCalls,
    Metadata,
    Error,
    Event,
    User,
}

/// A request class and what its interactions have in common. All that is
/// given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassRule {
    /// The class.
    pub class: String,
    /// Name of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Version of the prompt template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_version: Option<String>,
    /// The model as the response named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `service.name` of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The client's name of the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Names and values in the metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// A regular expression that the query matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
}
