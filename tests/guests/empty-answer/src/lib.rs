//! A failure classifier: answers that are empty or cut short.

use assay_plugin::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {}

/// Finds answers that are empty or cut short
#[classifier(modes = ["empty", "truncated"])]
fn empty_answer(_config: &Config, item: &Interaction) -> Option<Label> {
    if item.actual.trim().is_empty() {
        Some(Label::new("empty", 1.0))
    } else if item.finish_reason.as_deref() == Some("length") {
        Some(Label::new("truncated", 1.0))
    } else {
        None
    }
}
