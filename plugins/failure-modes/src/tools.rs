//! Calls of tools that there are not, or whose arguments cannot be read.

use assay_plugin::prelude::*;
use serde_json::{Map, Value as Json};

use crate::Mode;
use crate::config::ToolConfig;
use crate::detectors::label;

/// Sure: the names are the team's own, and arguments are JSON or not.
pub fn find(item: &Interaction, config: &ToolConfig) -> Option<Label> {
    item.tool_calls.iter().find_map(|call| {
        let is_known = config.tools.as_ref().is_none_or(|tools| tools.contains(&call.name));
        let wrong = if is_known {
            // Without arguments some services write nothing at all.
            let arguments = call.arguments_json.trim();
            let parsed = if arguments.is_empty() {
                Ok(Map::new())
            } else {
                serde_json::from_str::<Map<String, Json>>(arguments)
            };
            format!("the arguments of `{}` are no JSON object: {}", call.name, parsed.err()?)
        } else {
            format!("there is no tool `{}`", call.name)
        };
        let quote = if is_known { call.arguments_json.trim() } else { &call.name };
        let quote = assay_plugin::quotes::head(quote, 500);
        Some(label(Mode::UnsupportedToolCall, 1.0, wrong).grounded_in(Evidence::new("tool-calls", quote)))
    })
}
