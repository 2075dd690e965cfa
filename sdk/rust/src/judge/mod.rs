//! Asking a judge: a model that the host calls on the plugin's behalf.
//!
//! The plugin names a profile of the host's configuration and sees neither key
//! nor URL. Only a plugin whose attribute says `judging` is connected to the
//! judge; for the others [`complete`] answers `host-denied`. Natively a test
//! says what answers: [`answered_by`].
//!
//! A plugin has one thread, so requests run side by side only within one call
//! of [`complete`]. Use the `batch` form of the attribute and ask for all
//! items at once.

mod connection;
mod form;
mod material;

#[doc(hidden)]
pub use connection::connected;
pub use connection::{answered_by, complete};
pub use form::{object_schema, read_object};
pub use material::{DATA_RULES, Use, material};

use crate::{Message, Part, PluginError, Role, Usage};

pub use crate::bindings::assay::plugin::judge::{Reply, Request};

/// What a request came to.
pub type Answer = Result<Reply, PluginError>;

impl Request {
    /// A request to a profile of the host's configuration; all else is missing.
    pub fn new(profile: impl Into<String>, messages: impl IntoIterator<Item = Message>) -> Self {
        Self {
            profile: profile.into(),
            interaction_id: None,
            messages: messages.into_iter().collect(),
            schema_json: None,
            output_tokens_max: None,
            temperature: None,
        }
    }

    /// About the item with this id: the host keeps its record of the call with
    /// that item's scores.
    pub fn about(mut self, interaction_id: impl Into<String>) -> Self {
        self.interaction_id = Some(interaction_id.into());
        self
    }

    /// With a JSON Schema that the reply must satisfy. Check the reply all the
    /// same: not every model keeps to one.
    pub fn with_schema(mut self, json: impl Into<String>) -> Self {
        self.schema_json = Some(json.into());
        self
    }

    /// The text of the message of a role, for tests; empty where there is none.
    pub fn text_of(&self, role: Role) -> String {
        let of_role = self.messages.iter().filter(|message| message.role == role);
        let texts = of_role.flat_map(|message| &message.parts).filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Image(_) | Part::File(_) => None,
        });
        texts.collect()
    }
}

impl Reply {
    /// A reply as a test's judge gives it.
    pub fn new(text: impl Into<String>, transcript_id: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            model: "test".into(),
            finish_reason: Some("stop".into()),
            usage: Usage {
                input: None,
                output: None,
                cached_input: None,
                cache_write_input: None,
                reasoning: None,
            },
            transcript_id: transcript_id.into(),
        }
    }
}

impl Message {
    /// A message of one text.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, name: None, parts: vec![Part::Text(text.into())], tool_calls: Vec::new() }
    }
}
