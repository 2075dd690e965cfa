//! Write Assay plugins in Rust: one attribute on one function.
//!
//! ```
//! use assay_plugin::prelude::*;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Config {
//!     /// What a good answer mentions
//!     word: String,
//! }
//!
//! /// The answer mentions a word
//! #[scorer]
//! fn mentions(config: &Config, item: &Interaction) -> bool {
//!     item.actual.contains(&config.word)
//! }
//!
//! # fn main() {
//! let config = Config { word: "sorry".into() };
//! assert!(mentions(&config, &Interaction::new("Where is my parcel?", "We are sorry.")));
//! # }
//! ```
//!
//! The same function is a plain one for `cargo test` and a plugin when it is
//! built for `wasm32-unknown-unknown` with `crate-type = ["cdylib"]`. A panic
//! reaches the host's records with its text and place.

mod answers;
pub mod bindings;
mod interaction;
pub mod judge;
pub mod log;
mod outputs;
pub mod quotes;
pub mod runtime;

pub use answers::{ClassifierAnswer, ExtractorAnswer, ScorerAnswer, SingleOutput, SingleSignal};
pub use assay_plugin_macros::{classifier, extractor, scorer};
pub use bindings::assay::plugin::types::{
    Document, Event, Evidence, Interaction, Label, Media, Message, Part, PluginError, Role, Score, Session,
    Signal, Timing, ToolCall, Usage, Value,
};
pub use outputs::{Capability, Descriptor, Direction, Output, OutputKind, Problem, Range};
#[doc(hidden)]
pub use wit_bindgen;

/// What a plugin needs, in one line.
pub mod prelude {
    pub use crate::{
        Capability, Direction, Event, Evidence, Interaction, Label, Output, OutputKind, PluginError, Problem,
        Range, Score, Session, Signal, Value, classifier, extractor, judge, log, scorer,
    };
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;
}
