//! One file of JSON lines. Interactions and events are written as the API takes
//! them, so that `assay import` brings them back.

use serde_json::{Map, Value, json};

use super::columns::{Cell, Table, interaction_of, session_name};
use crate::domain::clock::Timestamp;
use crate::store::{StoreError, StoredEvent, StoredInteraction};

/// An interaction as `POST /v1/interactions` takes it.
pub fn interaction_line(stored: &StoredInteraction) -> Result<Value, StoreError> {
    let object = |value: serde_json::Result<Value>| match value {
        Ok(Value::Object(members)) => members,
        _ => unreachable!("the domain's structures are JSON objects"),
    };
    let mut line = object(serde_json::to_value(interaction_of(stored)?));
    let mut origin = object(serde_json::to_value(&stored.payload.origin));
    let id = origin.remove("key").unwrap_or_else(|| Value::from(stored.id.to_string()));
    line.append(&mut origin);
    line.insert("id".into(), id);
    line.insert("started_at".into(), json!(stored.started_at));
    Ok(Value::Object(line))
}

/// An event as `POST /v1/events` takes it.
pub fn event_line(event: &StoredEvent) -> Value {
    let mut line = Map::new();
    line.insert("id".into(), event.id.to_string().into());
    line.insert("at".into(), json!(event.at));
    line.insert("kind".into(), event.kind.clone().into());
    match (event.interaction, session_name(event)) {
        (Some(interaction), _) => drop(line.insert("interaction".into(), interaction.to_string().into())),
        (None, Some(session)) => drop(line.insert("session".into(), session.into())),
        (None, None) => {}
    }
    if let Some(user) = &event.user {
        line.insert("user".into(), user.clone().into());
    }
    if let Some(value) = event.value.as_deref().and_then(|text| serde_json::from_str(text).ok()) {
        line.insert("value".into(), value);
    }
    Value::Object(line)
}

/// A row of a table; what is missing is left out, and JSON in a text is JSON.
pub fn table_line(table: &Table, row: Vec<Cell>) -> Value {
    let members = table.columns.iter().zip(row).filter_map(|(column, cell)| {
        let value = match cell {
            Cell::Missing => return None,
            Cell::Text(text) if column.name == "detail" => {
                serde_json::from_str(&text).unwrap_or(Value::String(text))
            }
            Cell::Text(text) => Value::String(text),
            Cell::Instant(us) => json!(Timestamp(us)),
            Cell::Integer(number) => Value::from(number),
            Cell::Number(number) => Value::from(number),
            Cell::Flag(flag) => Value::from(flag),
        };
        Some((column.name.to_owned(), value))
    });
    Value::Object(members.collect())
}
