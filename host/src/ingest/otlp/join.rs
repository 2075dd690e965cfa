//! Log events join the spans that they speak of, in whatever order both come.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::record::{Facts, LogFact, LogWhat, SpanRecord};
use super::{content, metadata};

/// The spans, each of them once, with what the log events add to them. What a
/// span says itself wins over what events say of it.
pub(super) fn joined<'a>(spans: &'a [SpanRecord], logs: &[LogFact]) -> Vec<Cow<'a, SpanRecord>> {
    let mut by_span: HashMap<[u8; 8], Vec<&LogFact>> = HashMap::new();
    for log in in_order(logs) {
        by_span.entry(log.span).or_default().push(log);
    }
    let mut joined: Vec<Cow<'a, SpanRecord>> = each_once(spans).into_iter().map(Cow::Borrowed).collect();
    for span in &mut joined {
        let logs = by_span.get(&span.span).into_iter().flatten().copied();
        let logs: Vec<&LogFact> = logs.filter(|log| log.trace == span.trace).collect();
        if !logs.is_empty() {
            join(&mut span.to_mut().facts, &logs);
        }
    }
    joined
}

/// A client that sends a span again sends the same. Should it not, the one that
/// ended last stands, and of two such ones the greater text: any rule will do
/// that does not depend on the order.
fn each_once(spans: &[SpanRecord]) -> Vec<&SpanRecord> {
    let mut each: HashMap<[u8; 8], &SpanRecord> = HashMap::with_capacity(spans.len());
    for span in spans {
        each.entry(span.span)
            .and_modify(|known| {
                let order = span.ended_at_us.cmp(&known.ended_at_us);
                if *known != span && order.then_with(|| text(span).cmp(&text(known))).is_gt() {
                    *known = span;
                }
            })
            .or_insert(span);
    }
    each.into_values().collect()
}

/// Events by their time, each of them once.
fn in_order(logs: &[LogFact]) -> Vec<&LogFact> {
    let mut keyed: Vec<(u64, u32, String, &LogFact)> =
        logs.iter().map(|log| (log.at_ns, log.place, text(&(log.span, &log.what)), log)).collect();
    keyed.sort_by(|a, b| (a.0, a.1, &a.2).cmp(&(b.0, b.1, &b.2)));
    let mut seen = HashSet::new();
    keyed.retain(|(at, _, text, _)| seen.insert((*at, blake3::hash(text.as_bytes()))));
    keyed.into_iter().map(|(.., log)| log).collect()
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a record is written to memory, and its keys are text")
}

fn join(facts: &mut Facts, logs: &[&LogFact]) {
    let mut input = Vec::new();
    let mut output = Vec::new();
    for log in logs {
        match &log.what {
            LogWhat::Details(more) => fill(facts, more),
            LogWhat::Messages(messages) => input.extend(messages.iter().cloned()),
            LogWhat::Choice(message, stopped) => {
                output.push(message.clone());
                facts.finish_reason = facts.finish_reason.take().or_else(|| stopped.clone());
            }
            LogWhat::Score(score) => facts.scores.push(score.clone()),
        }
    }
    if facts.input.is_empty() {
        content::fold_results(&mut input);
        facts.input = input;
    }
    if facts.output.is_empty() {
        facts.output = output;
    }
    facts.settle();
}

/// Takes what is missing from another's facts.
fn fill(facts: &mut Facts, more: &Facts) {
    fn take<T: Clone>(slot: &mut Option<T>, more: &Option<T>) {
        if slot.is_none() {
            slot.clone_from(more);
        }
    }
    fn take_all<T: Clone>(slot: &mut Vec<T>, more: &[T]) {
        if slot.is_empty() {
            slot.extend_from_slice(more);
        }
    }
    take(&mut facts.session, &more.session);
    take(&mut facts.conversation, &more.conversation);
    take(&mut facts.user, &more.user);
    take(&mut facts.tenant, &more.tenant);
    take(&mut facts.request_class, &more.request_class);
    take(&mut facts.template, &more.template);
    take(&mut facts.template_version, &more.template_version);
    take(&mut facts.model, &more.model);
    take(&mut facts.streamed, &more.streamed);
    take(&mut facts.first_token_us, &more.first_token_us);
    take(&mut facts.finish_reason, &more.finish_reason);
    take(&mut facts.error, &more.error);
    facts.broken_off |= more.broken_off;
    take(&mut facts.usage.input, &more.usage.input);
    take(&mut facts.usage.output, &more.usage.output);
    take(&mut facts.usage.cached_input, &more.usage.cached_input);
    take(&mut facts.usage.cache_write_input, &more.usage.cache_write_input);
    take(&mut facts.usage.reasoning, &more.usage.reasoning);
    take_all(&mut facts.input, &more.input);
    take_all(&mut facts.output, &more.output);
    take(&mut facts.input_value, &more.input_value);
    take(&mut facts.output_value, &more.output_value);
    take_all(&mut facts.documents, &more.documents);
    take(&mut facts.cost, &more.cost);
    for (name, value) in &more.metadata {
        metadata::add(&mut facts.metadata, name.clone(), value.clone());
    }
    for notes in [metadata::USAGE, metadata::CONTENT, metadata::CUT] {
        metadata::copy_notes(&mut facts.metadata, &more.metadata, notes);
    }
}
