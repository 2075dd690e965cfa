//! Tools called between the question and the answer.
//!
//! One call shows up in several places: in the answer of the model that asked
//! for it, in the request of the model that got its output, and as a span of
//! its own. They are one call where they have the same id, and where a span
//! without an id has the name and arguments of a call that has no span yet.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

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

/// Name and arguments, however their JSON is written.
type Asked = (String, String);

#[derive(Default)]
struct Found {
    calls: Vec<ToolCall>,
    by_id: HashMap<String, usize>,
    /// Calls of messages that no span has claimed yet.
    open: HashMap<Asked, VecDeque<usize>>,
}

impl Found {
    fn in_message(&mut self, call: &ToolCall) {
        if let Some(at) = call.id.as_ref().and_then(|id| self.by_id.get(id)) {
            complete(&mut self.calls[*at], call);
            return;
        }
        match self.open.entry(asked(call)) {
            // Without an id nothing tells a call in a request from the same one in an answer.
            Entry::Occupied(_) if call.id.is_none() => return,
            Entry::Occupied(mut open) => open.get_mut().push_back(self.calls.len()),
            Entry::Vacant(place) => {
                place.insert(VecDeque::from([self.calls.len()]));
            }
        }
        self.push(call);
    }

    fn as_span(&mut self, call: &ToolCall) {
        let same = match &call.id {
            Some(id) => self.by_id.get(id).copied(),
            None => self.open.get_mut(&asked(call)).and_then(VecDeque::pop_front),
        };
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

fn asked(call: &ToolCall) -> Asked {
    let arguments = match serde_json::from_str::<serde_json::Value>(&call.arguments) {
        Ok(read) => read.to_string(),
        Err(_) => call.arguments.clone(),
    };
    (call.name.clone(), arguments)
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
