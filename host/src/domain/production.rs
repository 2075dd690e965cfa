//! What comes in from production: interactions with where they come from, and
//! what users did afterwards.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::ids::{EventId, InteractionId};
use super::interaction::{Answer, Interaction, Item};

/// Name in the metadata of how many calls of models an interaction took, where
/// it took several.
pub const MODEL_CALLS: &str = "assay.model_calls";

/// An interaction that really happened.
#[derive(Debug, Clone, PartialEq)]
pub struct ProductionInteraction {
    /// Follows from the trace and span, or from the client's own name of it: the same
    /// interaction that is sent again has the same id.
    pub id: InteractionId,
    /// When the request began; the time of receipt where the client did not say.
    pub started_at: Timestamp,
    /// The request and its answer.
    pub interaction: Interaction,
    /// Whose it is and how it got here.
    pub origin: Origin,
}

/// Whose an interaction is and how it got here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// The client's own name of the interaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The visit that it belongs to, as the client names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The conversation, which may last for weeks; cut into sessions at idle
    /// gaps where no session is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The client's name of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The client's name of the customer that the user belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Name of the service (`service.name`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its version (`service.version`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_version: Option<String>,
    /// Trace, 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// The interaction's root span, 16 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// The stream was broken off: the answer is what had come until then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Probability with which the client's own sampling let it through; missing
    /// where the client does not sample or does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_probability: Option<f64>,
    /// What the request cost, in the client's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Scores that came with it, by other evaluators.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<IncomingScore>,
}

/// A score that another evaluator gave (`gen_ai.evaluation.result`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncomingScore {
    /// Name of what was evaluated.
    pub name: String,
    /// The score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The score in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
}

/// Something that a user did.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Follows from the client's own name of the event, where it has one.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// `copied`, `reported`, `retried`, `abandoned`, `rated`, or the product's own.
    pub kind: String,
    /// The interaction that it is about.
    pub interaction: Option<InteractionId>,
    /// The session, as the client names it.
    pub session: Option<String>,
    /// The client's name of the user.
    pub user: Option<String>,
    /// What goes with the kind, such as a rating.
    pub value: Option<serde_json::Value>,
}

impl ProductionInteraction {
    /// The question's and the answer's side, as plugins get them. Documents are
    /// the product's: they stand on the answer's side.
    pub fn sides(self) -> (Item, Answer) {
        let from = self.interaction;
        let item = Item {
            query: from.query,
            query_media: from.query_media,
            expected: from.expected,
            history: from.history,
            documents: Vec::new(),
            request_class: from.request_class,
            template: from.template,
            template_version: from.template_version,
            metadata: from.metadata,
            extra: from.extra,
        };
        let answer = Answer {
            actual: from.actual,
            actual_media: from.actual_media,
            documents: from.documents,
            tool_calls: from.tool_calls,
            timing: from.timing,
            usage: from.usage,
            model: from.model,
            finish_reason: from.finish_reason,
            error: from.error,
        };
        (item, answer)
    }
}
