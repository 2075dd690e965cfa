//! The fields that a column of a file can become, and how its values are read.
//!
//! A file's column is text, or a number of another kind than the field's: what
//! it becomes follows from the field alone.

use serde_json::{Number, Value};

use super::times::TimeFormat;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Interactions, as `POST /v1/interactions` takes them.
    Interactions,
    /// Events, as `POST /v1/events` takes them.
    Events,
}

/// How a field's values are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Text; numbers and yes or no as they are written.
    Text,
    /// As [`Kind::Text`]; lists and objects become JSON text.
    AnyText,
    /// One text, or a list of them.
    Texts,
    /// A whole number that is not negative; the value times this.
    Count(f64),
    /// A number.
    Number,
    /// Yes or no.
    Flag,
    /// An instant.
    Instant,
    /// JSON, also written in a text.
    Json,
    /// As [`Kind::Json`]; a text that is no JSON stays a text.
    JsonOrText,
}

/// A field: a member of an interaction or event, or a member of a member.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The member.
    pub member: String,
    /// Its own member.
    pub below: Option<String>,
    /// How its values are read.
    pub kind: Kind,
}

const INTERACTION: [(&str, Kind); 30] = [
    ("id", Kind::Text),
    ("query", Kind::Text),
    ("query_media", Kind::Json),
    ("actual", Kind::Text),
    ("actual_media", Kind::Json),
    ("expected", Kind::Texts),
    ("history", Kind::Json),
    ("documents", Kind::Json),
    ("tool_calls", Kind::Json),
    ("timing", Kind::Json),
    ("usage", Kind::Json),
    ("model", Kind::Text),
    ("finish_reason", Kind::Text),
    ("error", Kind::Text),
    ("request_class", Kind::Text),
    ("template", Kind::Text),
    ("template_version", Kind::Text),
    ("metadata", Kind::Json),
    ("extra", Kind::Json),
    ("session", Kind::Text),
    ("conversation", Kind::Text),
    ("user", Kind::Text),
    ("tenant", Kind::Text),
    ("service", Kind::Text),
    ("service_version", Kind::Text),
    ("started_at", Kind::Instant),
    ("partial", Kind::Flag),
    ("upstream_probability", Kind::Number),
    ("cost", Kind::Number),
    ("scores", Kind::Json),
];

/// Further members that name where an interaction was traced.
const TRACED: [(&str, Kind); 2] = [("trace", Kind::Text), ("span", Kind::Text)];

const EVENT: [(&str, Kind); 8] = [
    ("id", Kind::Text),
    ("kind", Kind::Text),
    ("interaction", Kind::Text),
    ("trace", Kind::Text),
    ("session", Kind::Text),
    ("user", Kind::Text),
    ("at", Kind::Instant),
    ("value", Kind::JsonOrText),
];

/// Durations, with the other units that files have them in.
const DURATIONS: [(&str, &str, f64); 6] = [
    ("total_us", "total_us", 1.0),
    ("total_ms", "total_us", 1e3),
    ("total_s", "total_us", 1e6),
    ("first_token_us", "first_token_us", 1.0),
    ("first_token_ms", "first_token_us", 1e3),
    ("first_token_s", "first_token_us", 1e6),
];

const COUNTS: [&str; 5] = ["input", "output", "cached_input", "cache_write_input", "reasoning"];

impl Field {
    /// The field that a dotted path names; none where there is no such one.
    pub fn find(content: Content, path: &str) -> Option<Self> {
        let known = |list: &[(&str, Kind)]| {
            list.iter().find(|(name, _)| *name == path).map(|(name, kind)| Self {
                member: (*name).to_owned(),
                below: None,
                kind: *kind,
            })
        };
        match content {
            Content::Events => known(&EVENT),
            Content::Interactions => known(&INTERACTION).or_else(|| known(&TRACED)).or_else(|| below(path)),
        }
    }

    /// The names of all fields, for people.
    pub fn names(content: Content) -> String {
        let list: &[(&str, Kind)] = match content {
            Content::Events => &EVENT,
            Content::Interactions => &INTERACTION,
        };
        let mut names: Vec<_> = list.iter().map(|(name, _)| *name).collect();
        if content == Content::Interactions {
            names.extend(TRACED.map(|(name, _)| name));
            names.extend(["timing.total_us", "timing.total_ms", "timing.first_token_us"]);
            names.extend(["timing.streamed", "usage.input", "usage.output", "usage.cached_input"]);
            names.extend(["usage.cache_write_input", "usage.reasoning", "metadata.…", "extra.…"]);
        }
        names.join(", ")
    }

    /// Reads a value. The reason of a failure does not name the field.
    pub fn read(&self, value: Value, times: &TimeFormat) -> Result<Value, String> {
        match self.kind {
            Kind::Text => text(value),
            Kind::AnyText => Ok(match value {
                Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
                other => text(other)?,
            }),
            Kind::Texts => match value {
                Value::Array(_) => Ok(value),
                other => Ok(Value::Array(vec![text(other)?])),
            },
            Kind::Count(scale) => count(&value, scale),
            Kind::Number => number(&value).and_then(finite),
            Kind::Flag => flag(value),
            Kind::Instant => times.read(&value).map(|at| Value::from(at.0)),
            Kind::Json => match value {
                Value::String(text) => {
                    serde_json::from_str(&text).map_err(|error| format!("it is no JSON: {error}"))
                }
                other => Ok(other),
            },
            Kind::JsonOrText => Ok(match value {
                Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                other => other,
            }),
        }
    }
}

fn below(path: &str) -> Option<Field> {
    let (member, below) = path.split_once('.')?;
    let (below, kind) = match member {
        "timing" => match DURATIONS.iter().find(|(name, _, _)| *name == below) {
            Some((_, field, scale)) => (*field, Kind::Count(*scale)),
            None if below == "streamed" => (below, Kind::Flag),
            None => return None,
        },
        "usage" if COUNTS.contains(&below) => (below, Kind::Count(1.0)),
        "metadata" if !below.is_empty() => (below, Kind::AnyText),
        "extra" if !below.is_empty() => (below, Kind::JsonOrText),
        _ => return None,
    };
    Some(Field { member: member.to_owned(), below: Some(below.to_owned()), kind })
}

fn text(value: Value) -> Result<Value, String> {
    match value {
        Value::String(_) => Ok(value),
        Value::Number(number) => Ok(Value::String(number.to_string())),
        Value::Bool(flag) => Ok(Value::String(flag.to_string())),
        Value::Array(_) => Err("it is a list and no text".into()),
        Value::Object(_) => Err("it is an object and no text".into()),
        Value::Null => Err("it is missing".into()),
    }
}

fn number(value: &Value) -> Result<f64, String> {
    let read = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| format!("`{value}` is no number"))
}

fn finite(number: f64) -> Result<Value, String> {
    Number::from_f64(number).map(Value::Number).ok_or_else(|| format!("`{number}` is no finite number"))
}

fn count(value: &Value, scale: f64) -> Result<Value, String> {
    // What is whole stays exact; tables give counts as floating-point numbers too.
    let whole = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match whole {
        Some(whole) if scale == 1.0 => return Ok(Value::from(whole)),
        _ => {}
    }
    let scaled = number(value)? * scale;
    if scale == 1.0 && scaled.fract() != 0.0 {
        return Err(format!("`{value}` is no whole number"));
    }
    if (0.0..=u64::MAX as f64 / 2.0).contains(&scaled) {
        Ok(Value::from(scaled.round() as u64))
    } else {
        Err(format!("`{value}` is negative or too large"))
    }
}

fn flag(value: Value) -> Result<Value, String> {
    let word = match &value {
        Value::Bool(_) => return Ok(value),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    match word.as_str() {
        "true" | "1" | "yes" => Ok(Value::Bool(true)),
        "false" | "0" | "no" => Ok(Value::Bool(false)),
        _ => Err(format!("`{value}` is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(path: &str, value: Value) -> Result<Value, String> {
        let field = Field::find(Content::Interactions, path).expect("a field");
        field.read(value, &TimeFormat::default())
    }

    #[test]
    fn a_value_becomes_what_its_field_wants() {
        for (path, value, wanted) in [
            ("user", json!(42), json!("42")),
            ("usage.input", json!("4808"), json!(4808)),
            ("usage.input", json!(4808.0), json!(4808)),
            ("timing.total_ms", json!("1.5"), json!(1500)),
            ("timing.first_token_s", json!(0.25), json!(250_000)),
            ("timing.total_us", json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_993_u64)),
            ("timing.streamed", json!("Yes"), json!(true)),
            ("cost", json!("0.5"), json!(0.5)),
            ("expected", json!("one"), json!(["one"])),
            ("metadata.hash_ids", json!([1, 2]), json!("[1,2]")),
            ("extra.hash_ids", json!([1, 2]), json!([1, 2])),
            ("documents", json!("[{\"content\":\"c\"}]"), json!([{"content": "c"}])),
        ] {
            assert_eq!(read(path, value), Ok(wanted), "{path}");
        }
    }

    #[test]
    fn a_value_that_fits_no_field_is_refused_with_its_reason() {
        for (path, value, reason) in [
            ("query", json!(["a"]), "is a list"),
            ("usage.input", json!("-3"), "is negative"),
            ("usage.input", json!("2.5"), "no whole number"),
            ("usage.output", json!("many"), "no number"),
            ("usage.output", json!("nan"), "no whole number"),
            ("cost", json!("inf"), "no finite number"),
            ("timing.streamed", json!("perhaps"), "neither true nor false"),
            ("history", json!("[{"), "no JSON"),
        ] {
            let error = read(path, value).expect_err(path);
            assert!(error.contains(reason), "{path}: {error}");
        }
    }

    #[test]
    fn a_path_that_is_no_field_is_none() {
        for path in ["prompt", "usage.total", "timing", "metadata.", "query.text", ""] {
            let found = Field::find(Content::Interactions, path);
            assert_eq!(found.is_some(), path == "timing", "{path}");
        }
        assert!(Field::find(Content::Events, "query").is_none());
    }
}
