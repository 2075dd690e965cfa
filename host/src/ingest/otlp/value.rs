//! Reads attribute values, whichever of their types a client chose.
//!
//! SDKs write whole numbers as doubles or as text where their language has no
//! other way; what does not fit is missing.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// Text as it stands; what has a structure becomes JSON. None for an empty value.
pub(super) fn text(value: AnyValue) -> Option<String> {
    Some(match value.value? {
        Value::StringValue(text) => text,
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        Value::BytesValue(bytes) => base64(&bytes),
        structured => json(&AnyValue { value: Some(structured) }),
    })
}

/// A text that names something: none where it is empty.
pub(super) fn name(value: AnyValue) -> Option<String> {
    text(value).filter(|name| !name.is_empty())
}

/// A count: whole and not negative.
pub(super) fn count(value: &AnyValue) -> Option<u64> {
    match value.value.as_ref()? {
        Value::IntValue(value) => u64::try_from(*value).ok(),
        // 2^53: above it a double no longer holds every whole number.
        Value::DoubleValue(value) => {
            (value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(value)).then_some(*value as u64)
        }
        Value::StringValue(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A finite number.
pub(super) fn number(value: &AnyValue) -> Option<f64> {
    let number = match value.value.as_ref()? {
        Value::IntValue(value) => *value as f64,
        Value::DoubleValue(value) => *value,
        Value::StringValue(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Yes or no.
pub(super) fn truth(value: &AnyValue) -> Option<bool> {
    match value.value.as_ref()? {
        Value::BoolValue(value) => Some(*value),
        Value::StringValue(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::StringValue(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The first text of a list, or the text itself.
pub(super) fn first(value: AnyValue) -> Option<String> {
    match value.value? {
        Value::ArrayValue(list) => name(list.values.into_iter().next()?),
        Value::StringValue(text) if text.starts_with('[') => {
            match serde_json::from_str::<Vec<String>>(&text) {
                Ok(list) => list.into_iter().next(),
                Err(_) => Some(text),
            }
        }
        other => name(AnyValue { value: Some(other) }),
    }
}

/// A value as JSON text. Numbers that JSON lacks become null.
pub(super) fn json(value: &AnyValue) -> String {
    serde_json::to_string(&Json(value)).expect("writing to memory cannot fail and every key is text")
}

/// Attributes as one JSON object.
pub(super) fn json_object(attributes: &[KeyValue]) -> String {
    serde_json::to_string(&Object(attributes)).expect("writing to memory cannot fail and every key is text")
}

struct Json<'a>(&'a AnyValue);

struct Object<'a>(&'a [KeyValue]);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            None => to.serialize_unit(),
            Some(Value::StringValue(text)) => to.serialize_str(text),
            Some(Value::BoolValue(value)) => to.serialize_bool(*value),
            Some(Value::IntValue(value)) => to.serialize_i64(*value),
            Some(Value::DoubleValue(value)) => to.serialize_f64(*value),
            Some(Value::BytesValue(bytes)) => to.serialize_str(&base64(bytes)),
            Some(Value::ArrayValue(list)) => {
                let mut sequence = to.serialize_seq(Some(list.values.len()))?;
                for value in &list.values {
                    sequence.serialize_element(&Json(value))?;
                }
                sequence.end()
            }
            Some(Value::KvlistValue(list)) => Object(&list.values).serialize(to),
            // An index into a dictionary that only profiles carry.
            Some(_) => to.serialize_unit(),
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for entry in self.0 {
            match &entry.value {
                Some(value) => map.serialize_entry(&entry.key, &Json(value))?,
                None => map.serialize_entry(&entry.key, &())?,
            }
        }
        map.end()
    }
}

/// Bytes as base64 with padding (RFC 4648, section 4), as OTLP's JSON writes them.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(DIGITS[(group >> (18 - 6 * place) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn base64_of_the_rfc() {
        // RFC 4648, section 10.
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected);
        }
    }

    #[test]
    fn a_count_is_read_from_whatever_holds_one() {
        assert_eq!(count(&any(Value::IntValue(7))), Some(7));
        assert_eq!(count(&any(Value::DoubleValue(7.0))), Some(7));
        assert_eq!(count(&any(Value::StringValue("7".into()))), Some(7));
        for value in [
            Value::IntValue(-1),
            Value::DoubleValue(0.5),
            Value::DoubleValue(f64::NAN),
            Value::StringValue("many".into()),
        ] {
            assert_eq!(count(&any(value)), None);
        }
    }

    #[test]
    fn a_structured_value_becomes_json() {
        let value = any(Value::KvlistValue(KeyValueList {
            values: vec![
                KeyValue {
                    key: "a".into(),
                    value: Some(any(Value::DoubleValue(f64::NAN))),
                    ..KeyValue::default()
                },
                KeyValue {
                    key: "b\"".into(),
                    value: Some(any(Value::ArrayValue(ArrayValue {
                        values: vec![
                            any(Value::IntValue(1)),
                            any(Value::BytesValue(vec![255])),
                            AnyValue { value: None },
                        ],
                    }))),
                    ..KeyValue::default()
                },
            ],
        }));
        assert_eq!(text(value).as_deref(), Some(r#"{"a":null,"b\"":[1,"/w==",null]}"#));
    }

    #[test]
    fn the_first_of_a_list_is_found_in_each_form() {
        let list = Value::ArrayValue(ArrayValue {
            values: vec![any(Value::StringValue("stop".into())), any(Value::StringValue("length".into()))],
        });
        for value in
            [list, Value::StringValue("stop".into()), Value::StringValue(r#"["stop","length"]"#.into())]
        {
            assert_eq!(first(any(value)).as_deref(), Some("stop"));
        }
    }
}
