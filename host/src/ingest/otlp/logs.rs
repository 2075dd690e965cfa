//! From log records to what they say about a span.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::attributes::Draft;
use super::decode::{Decoded, Rejected, id, micros};
use super::events::{self, Event};
use super::record::{LogFact, LogWhat};
use super::value;

/// The GenAI events of a request that is decoded already, as gRPC hands it over.
pub fn from_logs_export(request: ExportLogsServiceRequest) -> Decoded<LogFact> {
    let mut decoded = Decoded::default();
    let records = request
        .resource_logs
        .into_iter()
        .flat_map(|group| group.scope_logs)
        .flat_map(|scope| scope.log_records);
    for (index, mut log) in records.enumerate() {
        let name = name(&mut log);
        let event = events::read(&name, std::mem::take(&mut log.attributes), log.body.take());
        match event.and_then(what) {
            Some(what) => match fact(&log, what, index) {
                Ok(fact) => decoded.records.push(fact),
                Err(why) => decoded.rejected.push((index, why)),
            },
            None if name == events::SCORE => decoded.rejected.push((index, Rejected::Score)),
            None => {}
        }
    }
    decoded
}

/// The event's name, which older SDKs wrote as an attribute.
fn name(log: &mut LogRecord) -> String {
    if !log.event_name.is_empty() {
        return std::mem::take(&mut log.event_name);
    }
    match log.attributes.iter().position(|attribute| attribute.key == "event.name") {
        Some(at) => log.attributes.swap_remove(at).value.and_then(value::name).unwrap_or_default(),
        None => String::new(),
    }
}

fn what(event: Event) -> Option<LogWhat> {
    Some(match event {
        Event::Details(attributes) => {
            let mut draft = Draft::default();
            draft.attributes(attributes);
            LogWhat::Details(Box::new(draft.finish().1))
        }
        Event::Messages(messages) => LogWhat::Messages(messages),
        Event::Choice(message, stopped) => LogWhat::Choice(message, stopped),
        Event::Score(score) => LogWhat::Score(score),
        // These speak of the span that they are on, and a log record is on none.
        Event::FirstToken | Event::Exception(..) => return None,
    })
}

fn fact(log: &LogRecord, what: LogWhat, index: usize) -> Result<LogFact, Rejected> {
    let trace = id(&log.trace_id).ok_or(Rejected::Trace)?;
    let span = id(&log.span_id).ok_or(Rejected::Span)?;
    let at_ns = if log.time_unix_nano == 0 { log.observed_time_unix_nano } else { log.time_unix_nano };
    micros(at_ns)?;
    Ok(LogFact { trace, span, at_ns, place: u32::try_from(index).unwrap_or(u32::MAX), what })
}
