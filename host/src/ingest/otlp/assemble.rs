//! From the spans of one trace to its interactions.
//!
//! # Times
//!
//! The total is the root's own. The user's time to first token is the root's
//! too where the root says it. Where it does not, and does not say that it
//! answered in one piece, the answer's first token is the user's: that of the
//! model call that produced the answer, if that call was streamed, counted from
//! the root's start. First tokens of earlier calls do not count: they ask for
//! tools, and the user does not see them. Where the answering call does not
//! know its first token, neither does the interaction.
//!
//! # Tokens
//!
//! Summed over the calls of models below the root. An agent's own totals are
//! used only for counts that its models do not say. A call that failed without
//! any count adds nothing; one that succeeded without a count leaves the sum
//! unknown. Embeddings are other models' tokens and not counted.
//!
//! # Content
//!
//! The root's question and answer where it has them; else the question of the
//! first model call and the answer of the last.

use std::collections::{BTreeMap, HashSet};

use super::join::joined;
use super::record::{Facts, SpanKind, SpanRecord};
use super::tree::Tree;
use super::usage::Sum;
use super::{LogFact, content, hex, metadata, tools};
use crate::domain::clock::Timestamp;
use crate::domain::ids::InteractionId;
use crate::domain::interaction::{Document, Interaction, Message, Part, Role, Timing, Usage};
use crate::domain::production::{IncomingScore, Origin, ProductionInteraction};

/// The interactions of one trace, from all its spans and log events that are
/// known so far, by the time of their start.
///
/// The order in which they are given does not matter, nor does a span or event
/// that is given twice. More spans can change the outcome: an agent's span that
/// comes last takes the place of the interactions that its models were until
/// then, and those are no longer among the returned.
pub fn assemble(spans: &[SpanRecord], logs: &[LogFact]) -> Vec<ProductionInteraction> {
    let spans = joined(spans, logs);
    let tree = Tree::new(spans.iter().map(AsRef::as_ref).collect());
    let tokens = tree.fold(tokens, |sum: &mut Sum, below| sum.merge(&below));
    tree.interactions()
        .into_iter()
        .map(|(root, members)| interaction(&tree, root, &members, tokens[root].total()))
        .collect()
}

/// The tokens of a span with all below it.
fn tokens(span: &SpanRecord, below: Sum) -> Sum {
    let own = &span.facts.usage;
    let says = own.input.is_some() || own.output.is_some();
    match span.kind {
        SpanKind::Embedding => Sum::default(),
        SpanKind::Model if says => Sum::of(own),
        // The same call may be seen by another library further down.
        SpanKind::Model if !below.is_empty() => below,
        SpanKind::Model if span.facts.error.is_some() => Sum::default(),
        SpanKind::Model => Sum::of(own),
        SpanKind::Agent | SpanKind::Chain if says => below.or(own),
        _ => below,
    }
}

fn interaction(tree: &Tree<'_>, root_place: usize, members: &[usize], usage: Usage) -> ProductionInteraction {
    let root = tree.span(root_place);
    let calls: Vec<&SpanRecord> = members
        .iter()
        .filter(|place| tree.is_model_call(**place) && !tree.is_guarding(**place))
        .map(|place| tree.span(*place))
        .collect();
    let answering = answering(root, &calls);
    // In the order in which a fact about the whole request is looked for.
    let sources = || {
        [Some(root), answering]
            .into_iter()
            .flatten()
            .chain(tree.above(root_place))
            .chain(members.iter().map(|place| tree.span(*place)))
            .map(|span| &span.facts)
    };
    let text = |get: fn(&Facts) -> &Option<String>| sources().find_map(|facts| get(facts).clone());

    let mut metadata = root.facts.metadata.clone();
    if let Some(answering) = answering {
        for (name, value) in &answering.facts.metadata {
            metadata::add(&mut metadata, name.clone(), value.clone());
        }
        metadata::copy_notes(&mut metadata, &answering.facts.metadata, metadata::CUT);
    }
    let timing = timing(root, answering, &mut metadata);
    let model_calls = members.iter().filter(|place| tree.is_model_call(**place)).count();
    if model_calls > 1 {
        metadata::note(&mut metadata, metadata::MODEL_CALLS, &model_calls.to_string());
    }
    for facts in members.iter().map(|place| &tree.span(*place).facts) {
        metadata::copy_notes(&mut metadata, &facts.metadata, metadata::USAGE);
        metadata::copy_notes(&mut metadata, &facts.metadata, metadata::CONTENT);
    }

    let (history, query) = question(root, &calls);
    let (query, query_media) = content::split(&query);
    let (actual, actual_media) = answer(root, answering);
    let members = || members.iter().map(|place| tree.span(*place));
    let interaction = Interaction {
        query,
        query_media,
        actual,
        actual_media,
        expected: Vec::new(),
        history,
        documents: documents(members()),
        tool_calls: tools::calls(members()),
        timing,
        usage,
        model: answering.and_then(|span| span.facts.model.clone()).or_else(|| root.facts.model.clone()),
        finish_reason: root
            .facts
            .finish_reason
            .clone()
            .or_else(|| answering.and_then(|span| span.facts.finish_reason.clone())),
        error: root.facts.error.clone(),
        request_class: text(|facts| &facts.request_class),
        template: text(|facts| &facts.template),
        template_version: text(|facts| &facts.template_version),
        metadata,
        extra: None,
    };
    let origin = Origin {
        key: None,
        session: text(|facts| &facts.session),
        conversation: text(|facts| &facts.conversation),
        user: text(|facts| &facts.user),
        tenant: text(|facts| &facts.tenant),
        service: text(|facts| &facts.service),
        service_version: text(|facts| &facts.service_version),
        trace: Some(hex::encode(&root.trace)),
        span: Some(hex::encode(&root.span)),
        partial: root.facts.broken_off || answering.is_some_and(|span| span.facts.broken_off),
        upstream_probability: sources().find_map(|facts| facts.upstream_probability),
        cost: cost(root, &calls),
        scores: scores(members()),
    };
    ProductionInteraction {
        id: InteractionId::of_span(&root.trace, &root.span),
        started_at: Timestamp(root.started_at_us),
        interaction,
        origin,
    }
}

/// The model call that produced the answer: the last to end that said
/// something, else the last that asked for no tool, else the last.
fn answering<'a>(root: &'a SpanRecord, calls: &[&'a SpanRecord]) -> Option<&'a SpanRecord> {
    if root.kind == SpanKind::Model {
        return Some(root);
    }
    let asks_for_tool = |span: &SpanRecord| {
        matches!(
            span.facts.finish_reason.as_deref(),
            Some("tool_calls" | "tool_call" | "tool_use" | "function_call")
        )
    };
    calls.iter().copied().max_by_key(|span| {
        let says = content::answer(&span.facts.output).is_some();
        (says, !asks_for_tool(span), span.ended_at_us, span.started_at_us, span.span)
    })
}

fn timing(
    root: &SpanRecord,
    answering: Option<&SpanRecord>,
    metadata: &mut BTreeMap<String, String>,
) -> Timing {
    let total_us = (root.ended_at_us - root.started_at_us).unsigned_abs();
    let streamed = root.facts.streamed.or_else(|| answering.and_then(|span| span.facts.streamed));
    let first_token_us = root.facts.first_token_us.or_else(|| {
        let span = answering?;
        let before = u64::try_from(span.started_at_us - root.started_at_us).ok()?;
        Some(before + span.facts.first_token_us?)
    });
    // Only a streamed answer has a first token before its last.
    let first_token_us = first_token_us.filter(|_| streamed == Some(true));
    if first_token_us > Some(total_us) {
        metadata::note(metadata, metadata::TIMING, "first_token_after_end");
    }
    Timing {
        started_at_us: Some(root.started_at_us),
        total_us: Some(total_us),
        first_token_us: first_token_us.filter(|first| *first <= total_us),
        streamed,
    }
}

/// What came before the question, and the question.
fn question(root: &SpanRecord, calls: &[&SpanRecord]) -> (Vec<Message>, Vec<Part>) {
    let split = |span: &&SpanRecord| {
        let messages = &span.facts.input;
        let at = content::last_question(messages)?;
        Some((messages[..at].to_vec(), messages[at].parts.clone()))
    };
    let of_calls = || calls.iter().find_map(split);
    match split(&root) {
        // An agent is often given the question alone, and its model the conversation.
        Some((history, query)) if history.is_empty() && root.kind != SpanKind::Model => {
            (of_calls().map(|(history, _)| history).unwrap_or_default(), query)
        }
        Some(both) => both,
        None => of_calls().unwrap_or_else(|| {
            let history: Vec<Message> =
                root.facts.input.iter().filter(|message| message.role == Role::System).cloned().collect();
            let unread = root.facts.input_value.clone().map(|text| Part::Text { text });
            (history, unread.into_iter().collect())
        }),
    }
}

/// The answer's text and its parts that are not text.
fn answer(root: &SpanRecord, answering: Option<&SpanRecord>) -> (String, Vec<Part>) {
    let said = content::answer(&root.facts.output)
        .or_else(|| answering.and_then(|span| content::answer(&span.facts.output)));
    match said {
        Some(message) => content::split(&message.parts),
        None => (root.facts.output_value.clone().unwrap_or_default(), Vec::new()),
    }
}

/// Each score once: an event can come on a span and as a log record.
fn scores<'a>(members: impl Iterator<Item = &'a SpanRecord>) -> Vec<IncomingScore> {
    let mut seen = HashSet::new();
    members
        .flat_map(|span| &span.facts.scores)
        .filter(|score| {
            let value = score.value.map(f64::to_bits);
            seen.insert((&score.name, value, &score.label, &score.explanation))
        })
        .cloned()
        .collect()
}

/// Each document once, in the order in which they were found.
fn documents<'a>(members: impl Iterator<Item = &'a SpanRecord>) -> Vec<Document> {
    let mut seen = HashSet::new();
    members
        .flat_map(|span| &span.facts.documents)
        .filter(|document| seen.insert((document.id.as_deref(), document.content.as_str())))
        .cloned()
        .collect()
}

/// The sum over the model calls if all of those that succeeded say what they cost; else what the root says.
fn cost(root: &SpanRecord, calls: &[&SpanRecord]) -> Option<f64> {
    let costs: Option<Vec<f64>> = calls
        .iter()
        .filter(|span| span.facts.cost.is_some() || span.facts.error.is_none())
        .map(|span| span.facts.cost)
        .collect();
    costs.filter(|costs| !costs.is_empty()).map(|costs| costs.iter().sum()).or(root.facts.cost)
}
