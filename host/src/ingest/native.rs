//! Assay's own JSON: interactions and events, one object a line, or an array.
//!
//! A line that cannot be used is reported by its number and costs the others
//! nothing.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::domain::clock::Timestamp;
use crate::domain::ids::{EventId, InteractionId};
use crate::domain::interaction::Interaction;
use crate::domain::production::{Event, Origin, ProductionInteraction};

/// A line that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rejected {
    /// Counted from 1; of an array, the place of the element.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// What a body holds: what can be used, and what cannot.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines<T> {
    /// What can be used.
    pub good: Vec<T>,
    /// What cannot.
    pub rejected: Vec<Rejected>,
}

/// Reads interactions: JSON Lines, an array, or one object.
pub fn read_interactions(body: &[u8], now: Timestamp) -> Lines<ProductionInteraction> {
    read(body, |members| interaction_of(members, now))
}

/// Reads events: JSON Lines, an array, or one object.
pub fn read_events(body: &[u8], now: Timestamp) -> Lines<Event> {
    read(body, |members| event_of(members, now))
}

fn read<T>(body: &[u8], convert: impl Fn(Map<String, Value>) -> Result<T, String>) -> Lines<T> {
    let mut lines = Lines { good: Vec::new(), rejected: Vec::new() };
    let mut take = |line: usize, read: Result<Map<String, Value>, serde_json::Error>| match read
        .map_err(|error| error.to_string())
        .and_then(&convert)
    {
        Ok(good) => lines.good.push(good),
        Err(reason) => lines.rejected.push(Rejected { line, reason }),
    };
    let whole = body.trim_ascii();
    if whole.starts_with(b"[") {
        match serde_json::from_slice::<Vec<Value>>(whole) {
            Ok(elements) => {
                for (index, element) in elements.into_iter().enumerate() {
                    take(index + 1, serde_json::from_value(element));
                }
            }
            Err(error) => take(error.line(), Err(error)),
        }
    } else if let Ok(one) = serde_json::from_slice(whole) {
        take(1, Ok(one));
    } else {
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            if !line.trim_ascii().is_empty() {
                take(index + 1, serde_json::from_slice(line));
            }
        }
    }
    lines
}

/// Members that say whose an interaction is; the others are the interaction's own.
const ENVELOPE: [&str; 13] = [
    "id",
    "session",
    "conversation",
    "user",
    "tenant",
    "service",
    "service_version",
    "trace",
    "span",
    "partial",
    "upstream_probability",
    "cost",
    "scores",
];

/// The interaction that a JSON object writes.
pub fn interaction_of(
    mut members: Map<String, Value>,
    now: Timestamp,
) -> Result<ProductionInteraction, String> {
    let started_at = members.remove("started_at").map(instant).transpose()?;
    let mut envelope = Map::new();
    for name in ENVELOPE {
        if let Some(value) = members.remove(name) {
            envelope.insert(if name == "id" { "key" } else { name }.to_owned(), value);
        }
    }
    let mut origin: Origin =
        serde_json::from_value(Value::Object(envelope)).map_err(|error| error.to_string())?;
    let mut interaction: Interaction =
        serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())?;
    if let Some(probability) = origin.upstream_probability
        && !(probability > 0.0 && probability <= 1.0)
    {
        return Err(format!("`upstream_probability` is {probability}; it is over 0 and at most 1"));
    }
    let started_at = started_at.or(interaction.timing.started_at_us.map(Timestamp)).unwrap_or(now);
    check_instant(started_at)?;
    interaction.timing.started_at_us = Some(started_at.0);
    let id = match &origin.key {
        Some(key) if key.is_empty() => return Err("`id` is empty".into()),
        Some(key) => InteractionId::of_name(key),
        None => InteractionId::of_key(&uuid::Uuid::now_v7().to_string()),
    };
    // One of our own ids, which an export gave, is no name that a client chose.
    origin.key = origin.key.filter(|key| *key != id.to_string());
    Ok(ProductionInteraction { id, started_at, interaction, origin })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEvent {
    id: Option<String>,
    kind: String,
    interaction: Option<String>,
    trace: Option<String>,
    session: Option<String>,
    user: Option<String>,
    #[serde(default, deserialize_with = "some_instant")]
    at: Option<Timestamp>,
    value: Option<Value>,
}

/// The event that a JSON object writes.
pub fn event_of(members: Map<String, Value>, now: Timestamp) -> Result<Event, String> {
    let written: WrittenEvent =
        serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())?;
    if written.kind.is_empty() || written.kind.len() > 100 {
        return Err("`kind` has 1 to 100 bytes".into());
    }
    let interaction = match (&written.interaction, &written.trace) {
        (Some(name), _) => Some(InteractionId::of_name(name)),
        (None, Some(trace)) => Some(
            InteractionId::any_of_trace_text(trace)
                .ok_or_else(|| format!("`trace` is `{trace}`; it has 32 hexadecimal digits"))?,
        ),
        (None, None) => None,
    };
    if interaction.is_none() && written.session.is_none() {
        return Err("one of `interaction`, `trace` and `session` is needed".into());
    }
    let at = written.at.unwrap_or(now);
    check_instant(at)?;
    let id = written.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    Ok(Event {
        id: EventId::of_name(&id),
        at,
        kind: written.kind,
        interaction,
        session: written.session,
        user: written.user,
        value: written.value,
    })
}

fn some_instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    instant(Value::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

/// RFC 3339, or microseconds since 1970.
fn instant(value: Value) -> Result<Timestamp, String> {
    match value {
        Value::Number(number) => number
            .as_i64()
            .map(Timestamp)
            .ok_or_else(|| format!("`{number}` is no number of microseconds since 1970")),
        other => serde_json::from_value(other)
            .map_err(|error| format!("an instant is RFC 3339 or microseconds since 1970: {error}")),
    }
}

/// The years 2000 to 2199: what is outside was meant in another unit.
fn check_instant(at: Timestamp) -> Result<(), String> {
    const YEARS_US: std::ops::Range<i64> = 946_684_800_000_000..7_258_118_400_000_000;
    if YEARS_US.contains(&at.0) {
        Ok(())
    } else {
        Err(format!("the instant {} is not in microseconds since 1970", at.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_780_000_000_000_000);

    #[test]
    fn lines_arrays_and_single_objects_are_read_alike() {
        let (one, two) = (r#"{"id":"a","query":"q","actual":"x"}"#, r#"{"id":"b","query":"q2"}"#);
        let bodies = [format!("{one}\n\n{two}\n"), format!("[{one},\n{two}]"), format!("{one}\r\n{two}")];
        for body in bodies {
            let lines = read_interactions(body.as_bytes(), NOW);
            assert_eq!(lines.rejected, []);
            let keys: Vec<_> = lines.good.iter().map(|good| good.origin.key.as_deref()).collect();
            assert_eq!(keys, [Some("a"), Some("b")]);
        }
        assert_eq!(read_interactions(one.as_bytes(), NOW).good.len(), 1);
        let spread = "{\n \"query\": \"q\"\n}";
        assert_eq!(read_interactions(spread.as_bytes(), NOW).good.len(), 1);
    }

    #[test]
    fn a_bad_line_is_told_by_number_and_the_good_ones_stay() {
        let body = concat!(
            "{\"id\":\"a\"}\n",
            "{\"id\":\n",
            "{\"qeury\":\"q\"}\n",
            "{\"id\":\"\"}\n",
            "{\"id\":\"b\",\"started_at\":17}\n",
            "{\"id\":\"c\",\"upstream_probability\":0}\n",
            "7\n",
            "{\"id\":\"d\",\"session\":5}\n",
            "{\"id\":\"e\",\"started_at\":\"2026-01-02T03:04:05Z\",\"session\":\"s\"}\n",
        );
        let lines = read_interactions(body.as_bytes(), NOW);
        let found: Vec<_> = lines.rejected.iter().map(|rejected| rejected.line).collect();
        assert_eq!(found, [2, 3, 4, 5, 6, 7, 8]);
        assert!(lines.rejected[1].reason.contains("`qeury`"), "{:?}", lines.rejected[1]);
        assert_eq!(lines.good.len(), 2);
        assert_eq!(lines.good[1].started_at, Timestamp(1_767_323_045_000_000));
        assert_eq!(lines.good[0].started_at, NOW);
    }

    #[test]
    fn an_event_names_what_it_is_about() {
        let body = concat!(
            r#"{"kind":"copied","interaction":"a"}"#,
            "\n",
            r#"{"kind":"rated","session":"s","at":1780000000000001,"value":-1,"id":"e1"}"#,
            "\n",
            r#"{"kind":"reported","trace":"0af7651916cd43dd8448eb211c80319c"}"#,
            "\n",
            r#"{"kind":"copied"}"#,
            "\n",
            r#"{"kind":"","session":"s"}"#,
            "\n",
            r#"{"kind":"copied","trace":"xyz"}"#,
        );
        let lines = read_events(body.as_bytes(), NOW);
        assert_eq!(lines.good[0].interaction, Some(InteractionId::of_key("a")));
        assert_eq!((lines.good[1].id, lines.good[1].at.0), (EventId::of_key("e1"), 1_780_000_000_000_001));
        assert!(lines.good[2].interaction.is_some());
        let found: Vec<_> = lines.rejected.iter().map(|rejected| rejected.line).collect();
        assert_eq!(found, [4, 5, 6]);
    }

    #[test]
    fn an_id_of_ours_is_told_from_a_clients_uuid() {
        let id = InteractionId::of_key("a");
        assert_eq!(InteractionId::of_name(&id.to_string()), id);
        let theirs = uuid::Uuid::now_v7().to_string();
        assert_eq!(InteractionId::of_name(&theirs), InteractionId::of_key(&theirs));
    }
}
