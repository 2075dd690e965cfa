//! Scores as OTLP log records: events named `gen_ai.evaluation.result`
//! (OpenTelemetry semantic conventions for generative AI).

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::domain::clock::Timestamp;
use crate::store::{ScorePage, ScoreRow, TracedScores};

/// The event's name.
const EVENT: &str = "gen_ai.evaluation.result";

/// A request with a page's scores; none where it has no score. Answers also
/// how many there are.
pub fn request(page: &ScorePage, now: Timestamp) -> Option<(ExportLogsServiceRequest, u64)> {
    let records: Vec<_> = page
        .interactions
        .iter()
        .flat_map(|of| of.scored.item.scores.iter().map(move |(scorer, score)| (of, *scorer, score)))
        .filter_map(|(of, scorer, score)| record(page, of, scorer, score, now))
        .collect();
    if records.is_empty() {
        return None;
    }
    let count = records.len() as u64;
    let own = vec![text("service.name", "assay"), text("service.version", env!("CARGO_PKG_VERSION"))];
    let scope = InstrumentationScope {
        name: "assay".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let scope_logs = ScopeLogs { scope: Some(scope), log_records: records, ..ScopeLogs::default() };
    let resource = Resource { attributes: own, ..Resource::default() };
    let resource_logs =
        ResourceLogs { resource: Some(resource), scope_logs: vec![scope_logs], ..ResourceLogs::default() };
    Some((ExportLogsServiceRequest { resource_logs: vec![resource_logs] }, count))
}

fn record(
    page: &ScorePage,
    of: &TracedScores,
    scorer: usize,
    score: &ScoreRow,
    now: Timestamp,
) -> Option<LogRecord> {
    let scorer = page.run.scorers.get(scorer)?;
    let output = scorer.outputs.get(score.output)?;
    let mut attributes = vec![
        text("gen_ai.evaluation.name", &output.name),
        text("assay.scorer", &scorer.name),
        text("assay.plugin", &scorer.plugin),
        text("assay.plugin.version", &scorer.version),
        text("assay.plugin.digest", &scorer.digest.to_string()),
        text("assay.evaluation", &page.run.evaluation_name),
        text("assay.run.id", &page.run.id.to_string()),
        text("assay.interaction.id", &of.scored.id.to_string()),
        number("assay.sample.probability", of.scored.probability),
    ];
    if let Some(value) = score.value {
        attributes.push(number("gen_ai.evaluation.score.value", value));
    }
    if let Some(label) = &score.category {
        attributes.push(text("gen_ai.evaluation.score.label", label));
    }
    if let Some(reason) = score.detail.as_deref().and_then(reason) {
        attributes.push(text("gen_ai.evaluation.explanation", &reason));
    }
    if let Some(class) = &of.scored.item.request_class {
        attributes.push(text("assay.request_class", class));
    }
    let at_ns = u64::try_from(now.0).unwrap_or(0).saturating_mul(1_000);
    Some(LogRecord {
        time_unix_nano: at_ns,
        observed_time_unix_nano: at_ns,
        severity_number: SeverityNumber::Info as i32,
        event_name: EVENT.into(),
        attributes,
        trace_id: id::<16>(of.trace.as_deref()),
        span_id: id::<8>(of.span.as_deref()),
        ..LogRecord::default()
    })
}

fn reason(detail: &str) -> Option<String> {
    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
    Some(detail.get("reason")?.as_str()?.to_owned())
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: f64) -> KeyValue {
    attribute(key, any_value::Value::DoubleValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// The bytes of an id's hexadecimal digits; empty, as the protocol has it,
/// where there is none.
fn id<const N: usize>(digits: Option<&str>) -> Vec<u8> {
    let digits = digits.filter(|digits| digits.len() == 2 * N && digits.is_ascii()).unwrap_or_default();
    let byte = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_are_none_are_empty() {
        assert_eq!(id::<8>(Some("00f067aa0ba902b7")), [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        for digits in [None, Some("00f0"), Some("00f067aa0ba902bx"), Some("00f067aa0ba902é")] {
            assert_eq!(id::<8>(digits), [] as [u8; 0], "{digits:?}");
        }
    }

    #[test]
    fn only_a_reason_explains() {
        assert_eq!(reason(r#"{"reason":"so","evidence":[]}"#), Some("so".into()));
        assert_eq!(reason(r#"{"evidence":[]}"#), None);
    }
}
