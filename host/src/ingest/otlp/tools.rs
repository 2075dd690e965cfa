//! Tools called between the question and the answer.
//!
//! One call shows up in several places: in the answer of the model that asked
//! for it, in the request of the model that got its output, and as a span of
//! its own. They are one call where they have the same id, and where a span
//! without an id has the name and arguments of a call that has no span yet.

use std::collections::HashMap;

use super::content;
use super::record::{SpanKind, SpanRecord};
use crate::domain::interaction::ToolCall;

/// The calls of an interaction, in the order in which they are first seen.
pub(super) fn calls<'a>(members: impl Iterator<Item = &'a SpanRecord>) -> Vec<ToolCall> {
    let mut found = Found::default();
    for span in members {
        // Calls before the question belong to earlier answers.
        let after = content::last_question(&span.facts.input).map_or(0, |at| at + 1);
        for call in content::calls(&span.facts.input[after..]).chain(content::calls(&span.facts.output)) {
            found.in_message(call);
        }
        if let (SpanKind::Tool, Some(call)) = (span.kind, &span.facts.tool) {
            found.as_span(call);
        }
    }
    found.calls
}

#[derive(Default)]
struct Found {
    calls: Vec<ToolCall>,
    by_id: HashMap<String, usize>,
    /// Calls that no span has claimed, by name; only spans without an id need them.
    open: HashMap<String, Vec<usize>>,
}

impl Found {
    fn in_message(&mut self, call: &ToolCall) {
        match call.id.as_ref().and_then(|id| self.by_id.get(id)) {
            Some(at) => complete(&mut self.calls[*at], call),
            // Without an id nothing tells a call in a request from the same one in an answer.
            None if call.id.is_none() && self.calls.contains(call) => {}
            None => {
                self.open.entry(call.name.clone()).or_default().push(self.calls.len());
                self.push(call);
            }
        }
    }

    fn as_span(&mut self, call: &ToolCall) {
        if let Some(at) = call.id.as_ref().and_then(|id| self.by_id.get(id)) {
            complete(&mut self.calls[*at], call);
            return;
        }
        let open = if call.id.is_none() { self.open.get_mut(&call.name) } else { None };
        let same = open.and_then(|open| {
            let at =
                open.iter().position(|at| same_arguments(&self.calls[*at].arguments, &call.arguments))?;
            Some(open.remove(at))
        });
        match same {
            Some(at) => complete(&mut self.calls[at], call),
            None => self.push(call),
        }
    }

    fn push(&mut self, call: &ToolCall) {
        if let Some(id) = &call.id {
            self.by_id.insert(id.clone(), self.calls.len());
        }
        self.calls.push(call.clone());
    }
}

/// Adds what a call did not know. A span's own words about its failure win.
fn complete(known: &mut ToolCall, more: &ToolCall) {
    if known.name.is_empty() {
        known.name.clone_from(&more.name);
    }
    if known.arguments.is_empty() {
        known.arguments.clone_from(&more.arguments);
    }
    known.output = known.output.take().or_else(|| more.output.clone());
    known.error = more.error.clone().or(known.error.take());
}

/// Whether two texts are the same arguments, however their JSON is written.
fn same_arguments(one: &str, other: &str) -> bool {
    let read = |text| serde_json::from_str::<serde_json::Value>(text);
    one == other || matches!((read(one), read(other)), (Ok(one), Ok(other)) if one == other)
}
