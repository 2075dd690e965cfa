//! From spans to records.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::attributes::Draft;
use super::decode::{Decoded, Rejected, id, micros};
use super::events::{self, Event};
use super::record::{Facts, SpanKind, SpanRecord};
use super::{metadata, tracestate, value};

/// The spans of a request that is decoded already, as gRPC hands it over.
pub fn from_export(request: ExportTraceServiceRequest) -> Decoded<SpanRecord> {
    let mut decoded = Decoded::default();
    let mut index = 0;
    for group in request.resource_spans {
        let source = source(group.resource);
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            match record(span, &source) {
                Ok(record) => decoded.records.push(record),
                Err(why) => decoded.rejected.push((index, why)),
            }
            index += 1;
        }
    }
    decoded
}

/// What the resource says of all its spans.
fn source(resource: Option<Resource>) -> Facts {
    let mut facts = Facts::default();
    for attribute in resource.into_iter().flat_map(|resource| resource.attributes) {
        let Some(value) = attribute.value.and_then(value::name) else { continue };
        match attribute.key.as_str() {
            "service.name" => facts.service = Some(value),
            "service.version" => facts.service_version = Some(value),
            "tenant.id" => facts.tenant = facts.tenant.or(Some(value)),
            "assay.tenant" => facts.tenant = Some(value),
            "deployment.environment" | "deployment.environment.name" => {
                metadata::add(&mut facts.metadata, attribute.key, value);
            }
            _ => {}
        }
    }
    facts
}

fn record(span: Span, source: &Facts) -> Result<SpanRecord, Rejected> {
    let trace = id(&span.trace_id).ok_or(Rejected::Trace)?;
    let own = id(&span.span_id).ok_or(Rejected::Span)?;
    let parent = match span.parent_span_id.len() {
        0 => None,
        8 => id(&span.parent_span_id),
        _ => return Err(Rejected::Parent),
    };
    let started_ns = span.start_time_unix_nano;
    if span.end_time_unix_nano < started_ns {
        return Err(Rejected::EndsBeforeStart);
    }
    let (started_at_us, ended_at_us) = (micros(started_ns)?, micros(span.end_time_unix_nano)?);

    let mut draft = Draft::on(source.clone());
    draft.facts.upstream_probability = tracestate::kept_with_probability(&span.trace_state);
    draft.attributes(span.attributes);
    let mut events = span.events;
    events.sort_by_key(|event| event.time_unix_nano);
    for event in events {
        match events::read(&event.name, event.attributes, None) {
            Some(Event::Details(attributes)) => draft.attributes(attributes),
            Some(Event::Messages(messages)) => draft.event_input.extend(messages),
            Some(Event::Choice(message, stopped)) => {
                draft.event_output.push(message);
                draft.facts.finish_reason = draft.facts.finish_reason.take().or(stopped);
            }
            Some(Event::Score(score)) => draft.facts.scores.push(score),
            Some(Event::FirstToken) => {
                let after = event.time_unix_nano.checked_sub(started_ns).map(|ns| ns / 1000);
                draft.facts.first_token_us = draft.facts.first_token_us.or(after);
            }
            Some(Event::Exception(kind, text)) => draft.exception = (kind, text),
            None => {}
        }
    }
    if let Some(status) = span.status {
        draft.succeeded = status.code == StatusCode::Ok as i32;
        draft.failed = (status.code == StatusCode::Error as i32).then_some(status.message);
    }
    let (kind, mut facts) = draft.finish();
    if kind == SpanKind::Other {
        facts = only_whose(facts);
    }
    Ok(SpanRecord { trace, span: own, parent, kind, name: span.name, started_at_us, ended_at_us, facts })
}

/// Of a span that stands for nothing only what it says of those above and below
/// is kept: a trace can hold thousands of them.
fn only_whose(facts: Facts) -> Facts {
    Facts {
        session: facts.session,
        conversation: facts.conversation,
        user: facts.user,
        tenant: facts.tenant,
        request_class: facts.request_class,
        template: facts.template,
        template_version: facts.template_version,
        ..Facts::default()
    }
}
